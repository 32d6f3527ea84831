"""Entries as files and back: nothing is lost, nothing is written outside the folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from gitctx import errors
from gitctx.context import Context
from gitctx.store import transfer
from gitctx.store.transfer import export_entries, gather_files


def _tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def full(ctx: Context) -> Context:
    """A context with some entries and settings."""
    with ctx.batch() as batch:
        batch.put("a", b"")
        batch.put("plan/käse.md", "text\r\n")
        batch.put("plan/deep/er/x", b"\0\xff")
    ctx.configure("claims.ttl_s", 60)
    return ctx


def test_what_is_exported_and_imported_again_is_the_same(full: Context, tmp_path: Path) -> None:
    done = export_entries(full.store.context.view(), tmp_path / "out")
    files = _tree(tmp_path / "out")
    assert files == {"a": b"", "plan/käse.md": b"text\r\n", "plan/deep/er/x": b"\0\xff"}
    assert sorted(done.written) == sorted(files)
    gathered = gather_files(tmp_path / "out")
    assert dict(gathered.entries) == files
    assert gathered.skipped == ()
    assert dict(gather_files(tmp_path / "out", "in").entries).keys() == {f"in/{key}" for key in files}


def test_only_what_is_below_the_prefix_is_exported(full: Context, tmp_path: Path) -> None:
    view = full.store.context.view()
    assert export_entries(view, tmp_path / "one", "plan/deep").written == ("plan/deep/er/x",)
    assert export_entries(view, tmp_path / "own", ".gitctx").written == (".gitctx/settings.toml",)
    assert export_entries(view, tmp_path / "key", "a").written == ("a",)


def test_a_file_in_the_way_stops_the_whole_export_unless_forced(full: Context, tmp_path: Path) -> None:
    view = full.store.context.view()
    (tmp_path / "plan").mkdir()
    (tmp_path / "plan" / "käse.md").write_text("mine")
    (tmp_path / "a").write_bytes(b"")
    before = _tree(tmp_path)
    with pytest.raises(errors.AlreadyExists) as caught:
        export_entries(view, tmp_path)
    assert caught.value.details["paths"] == ["plan/käse.md"]
    assert _tree(tmp_path) == before
    done = export_entries(view, tmp_path, force=True)
    assert (done.unchanged, sorted(done.written)) == (("a",), ["plan/deep/er/x", "plan/käse.md"])
    assert (tmp_path / "plan" / "käse.md").read_bytes() == b"text\r\n"
    assert sorted(path.name for path in (tmp_path / "plan").iterdir()) == ["deep", "käse.md"]


@pytest.mark.parametrize("force", [False, True])
def test_an_export_follows_no_link_out_of_its_folder(full: Context, tmp_path: Path, force: bool) -> None:
    view = full.store.context.view()
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").write_text("mine")
    for name, target in (("plan", outside), ("a", outside / "precious"), ("a", outside / "fresh")):
        out = tmp_path / f"{name}-{target.name}"
        out.mkdir()
        (out / name).symlink_to(target)
        with pytest.raises(errors.AlreadyExists):
            export_entries(view, out, force=force)
    assert _tree(outside) == {"precious": b"mine"}


def test_a_link_that_appears_while_exporting_is_not_written_through(
    full: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    compare = transfer._compare

    def late(*arguments: Any, **options: Any) -> Any:
        found = compare(*arguments, **options)
        (tmp_path / "out" / "plan").symlink_to(outside)
        return found

    monkeypatch.setattr(transfer, "_compare", late)
    with pytest.raises(errors.StorageError):
        export_entries(full.store.context.view(), tmp_path / "out")
    assert list(outside.iterdir()) == []


def test_case_twins_are_told_on_a_file_system_that_ignores_case(
    full: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full.put("A", "other")
    full.put("PLAN/Käse.md", "other")
    done = export_entries(full.store.context.view(), tmp_path / "exact")
    assert done.skipped == ()
    monkeypatch.setattr(transfer, "_ignores_case", lambda root: True)
    done = export_entries(full.store.context.view(), tmp_path / "folding")
    assert [each.path for each in done.skipped] == ["a", "plan/käse.md"]
    assert "'A'" in done.skipped[0].reason
    assert set(_tree(tmp_path / "folding")) == {"A", "PLAN/Käse.md", "plan/deep/er/x"}


def test_an_export_to_where_nothing_can_be_written_is_told(full: Context, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(errors.StorageError):
        export_entries(full.store.context.view(), tmp_path / "file")


def test_links_and_gits_own_and_pipes_are_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    (folder / ".git").mkdir(parents=True)
    (folder / ".git" / "config").write_text("x")
    (folder / "sub").mkdir()
    (folder / "sub" / ".git").write_text("gitdir: elsewhere")
    (folder / "secret").symlink_to("/etc/passwd")
    (folder / "loop").symlink_to(".")
    os.mkfifo(folder / "pipe")
    (folder / "sub" / "file").write_text("x")
    found = gather_files(folder)
    assert found.entries == (("sub/file", b"x"),)
    assert [each.path for each in found.skipped] == [".git", "loop", "pipe", "secret", "sub/.git"]


def test_all_names_that_cant_be_keys_are_told_and_nothing_is_imported(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    bad = [".gitmodules", "back\\slash", "dot.", "u\u0308", "new\nline", "~home", os.fsdecode(b"\xff")]
    for name in [*bad, "good"]:
        (folder / name).write_text("x")
    with pytest.raises(errors.InvalidKey) as caught:
        gather_files(folder)
    assert len(caught.value.details["paths"]) == len(bad)
    assert all(name in caught.value.message for name in (".gitmodules", "back\\slash", "~home", "\\udcff"))
    found = gather_files(folder, skip_invalid=True)
    assert found.entries == (("good", b"x"),)
    assert len(found.skipped) == len(bad)


def test_what_isnt_a_folder_cant_be_gathered(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "none"):
        with pytest.raises(errors.InvalidInput):
            gather_files(path)


def test_import_is_one_write_and_leaves_other_entries(cli: Any) -> None:
    cli("put", "plan/old", "stays")
    (cli.folder / "notes" / "sub").mkdir(parents=True)
    (cli.folder / "notes" / "sub" / "a.md").write_text("A")
    (cli.folder / "notes" / "b").write_text("B")
    head = cli.log("-n1")[0]["revision"]
    done = cli.changed("import", "notes", "plan/")
    assert [entry["key"] for entry in done["entries"]] == ["plan/b", "plan/sub/a.md"]
    assert cli("show", "--json").json["parents"] == [head]
    assert cli("ls").lines == ["plan/b", "plan/old", "plan/sub/a.md"]
    assert cli.changed("import", "notes", "plan/")["changed"] is False


def test_import_tells_what_it_leaves_out_and_refuses_bad_names(cli: Any) -> None:
    (cli.folder / "link").symlink_to("/etc")
    (cli.folder / "fine").write_text("x")
    assert "note: link is left out: it is a symbolic link" in cli("import", ".").err
    (cli.folder / "bad.").write_text("x")
    assert "bad.: " in cli("import", ".", code=5).err
    done = cli.changed("import", ".", "--skip-invalid")
    assert [each["path"] for each in done["skipped"]] == ["link", "bad."]


def test_export_and_import_by_the_command(cli: Any) -> None:
    cli("put", "plan/a", "v1")
    before = cli.log("-n1")[0]["revision"]
    cli("put", "plan/a", "v2")
    assert cli("export", "out", "--at", before).err == "exported 1 to out\n"
    assert (cli.folder / "out" / "plan" / "a").read_text() == "v1"
    assert cli("export", "out", "--json", code=4).error["code"] == "already_exists"
    assert cli("export", "out", "--force", "--json").json["written"] == ["plan/a"]
    assert cli("export", "out").err == "exported 0 to out (1 was there already)\n"
