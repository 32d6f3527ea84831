"""Reflogs: what the last line is, whoever wrote it and however the file was changed since we knew it."""

from __future__ import annotations

from pathlib import Path

import pytest

from gitctx.repository.reflog import LogLine, Reflogs
from gitctx.repository.refs import Refs

REF = "refs/heads/context"


def oid(number: int) -> str:
    return f"{number:040x}"


def line(number: int) -> LogLine:
    return LogLine(oid(number), oid(number + 1), "x <x@y>", f"to {number + 1}")


def move(refs: Refs, old: int | None, new: int) -> None:
    with refs.new_value(oid(new)) as value:
        expected = oid(old) if old is not None else None
        refs.swap(REF, value, expected=expected, who="x <x@y>", message=f"to {new}", at_s=1, durable=False)


@pytest.mark.parametrize("tail", [b"", b"torn", b"\0" * 600, b"x" * 70_000, b"foreign line\n", b"\n" * 3_000])
def test_the_last_line_of_the_log_is_the_one_that_reading_all_of_it_ends_with(bare: Path, tail: bytes) -> None:
    refs = Refs(bare)
    assert refs.logs.last_line(REF) is None
    for number in range(20):
        move(refs, number or None, number + 1)
    with (bare / "logs" / REF).open("ab") as log:
        log.write(tail)
    assert refs.logs.last_line(REF) == refs.logs.tail(REF)[-1] == LogLine(oid(19), oid(20), "x <x@y>", "to 20")


def test_a_log_without_a_single_line_has_no_last_one(bare: Path) -> None:
    log = bare / "logs" / REF
    log.parent.mkdir(parents=True)
    for content in (b"", b"\0", b"torn", b"\n", b"x\n" * 300_000):
        log.write_bytes(content)
        assert Refs(bare).logs.last_line(REF) is None


def test_a_very_long_last_line_is_found(bare: Path) -> None:
    refs = Refs(bare)
    with refs.new_value(oid(1)) as value:
        refs.swap(REF, value, expected=None, who="x <x@y>", message="m" * 9_000, at_s=1, durable=False)
    found = refs.logs.last_line(REF)
    assert found is not None
    assert found.message == "m" * 9_000


def test_what_others_append_cut_off_or_replace_is_seen_by_who_keeps_the_log_open(bare: Path) -> None:
    ours, others = Reflogs(str(bare)), Reflogs(str(bare))
    ours.append(REF, line(0), 1)
    assert others.last_line(REF) == ours.last_line(REF) == line(0)
    size = others.append(REF, line(1), 1)
    assert ours.last_line(REF) == line(1)
    others.undo(REF, size)
    assert ours.last_line(REF) == line(0)
    others.append(REF, line(5), 1)
    assert ours.last_line(REF) == line(5), "as long as the line that was taken back"
    path = bare / "logs" / REF
    text = path.read_bytes()
    path.unlink()
    assert ours.last_line(REF) is None
    path.write_bytes(text.splitlines(keepends=True)[0])
    assert ours.last_line(REF) == line(0), "as git reflog expire replaces it"
    ours.append(REF, line(6), 1)
    assert others.tail(REF) == [line(0), line(6)]


@pytest.mark.parametrize("tail", [b"torn", b"\0" * 600])
def test_a_torn_line_that_others_left_behind_ours_is_dropped_by_the_next(bare: Path, tail: bytes) -> None:
    logs = Reflogs(str(bare))
    logs.append(REF, line(0), 1)
    assert logs.last_line(REF) == line(0)
    with (bare / "logs" / REF).open("ab") as log:
        log.write(tail)
    logs.append(REF, line(1), 1)
    assert (bare / "logs" / REF).read_bytes().count(b"\n") == 2
    assert Reflogs(str(bare)).tail(REF) == [line(0), line(1)]
