"""What a process is known by, and when it counts as gone."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from gitctx.sessions import process as process_module
from gitctx.sessions.process import ProcessFacts, ask_psutil, parse_stat, read_proc
from gitctx_testkit.children import Child, eventually

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's /proc")


def stat_line(name: str, state: str, threads: int) -> bytes:
    rest = f"77 1 1 0 -1 4194304 10 0 0 0 1 2 0 0 20 0 {threads} 0 4242 1000 200"
    return f"12 ({name}) {state} {rest}\n".encode()


@pytest.mark.parametrize("name", ["agent", "two words", "a) R 1 (b", "", "x\ny"])
def test_odd_names_do_not_shift_the_fields(name: str) -> None:
    assert parse_stat(12, stat_line(name, "S", 1)) == ProcessFacts(12, "4242", name, 77)


def test_a_zombie_is_gone_but_not_one_whose_other_threads_run_on() -> None:
    assert parse_stat(12, stat_line("agent", "Z", 1)) is None
    assert parse_stat(12, stat_line("agent", "X", 1)) is None
    assert parse_stat(12, stat_line("agent", "Z", 4)) is not None


def test_a_line_that_cannot_be_read_proves_no_death() -> None:
    assert parse_stat(12, b"12 (agent) S") == ProcessFacts(12, None, "agent", 0)


@linux_only
def test_a_killed_child_is_gone_before_its_parent_reaps_it() -> None:
    with Child("print('up', flush=True); input()") as child:
        child.line()
        assert read_proc(child.pid) is not None
        os.kill(child.pid, signal.SIGKILL)
        eventually(lambda: read_proc(child.pid) is None, "the zombie counts as gone")


@linux_only
def test_a_process_whose_first_thread_ended_lives() -> None:
    script = """
import ctypes, threading, time
def rest():
    time.sleep(0.01)
    print('up', flush=True)
    time.sleep(60)
threading.Thread(target=rest).start()
ctypes.CDLL(None).syscall(60, 0)    # exit(2) of this thread alone
"""
    with Child(script) as child:
        eventually(lambda: Path(f"/proc/{child.pid}/stat").read_text().split(") ")[1][0] == "Z", "first thread ended")
        assert read_proc(child.pid) is not None


@linux_only
def test_a_hidden_process_is_not_taken_for_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def hidden(*_: object, **__: object) -> None:
        raise FileNotFoundError(2, "hidden")

    monkeypatch.setattr(process_module, "open", hidden, raising=False)
    assert read_proc(os.getpid()) == ProcessFacts(os.getpid(), None, "", 0)
    monkeypatch.setattr(os, "kill", lambda pid, number: (_ for _ in ()).throw(PermissionError(1, "not yours")))
    assert read_proc(1) is not None
    monkeypatch.setattr(os, "kill", lambda pid, number: (_ for _ in ()).throw(ProcessLookupError(3, "none")))
    assert read_proc(1) is None


def test_too_many_open_files_prove_no_death(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(24, "too many open files")

    monkeypatch.setattr(process_module, "open", full, raising=False)
    assert read_proc(1 << 22) is not None


def test_the_portable_way_finds_the_same_processes() -> None:
    own = ask_psutil(os.getpid())
    assert own is not None
    assert own.parent == os.getppid()
    assert own.started_at is not None
    with Child("print('up', flush=True); input()") as child:
        child.line()
        first = ask_psutil(child.pid)
        assert first == ask_psutil(child.pid)
        os.kill(child.pid, signal.SIGKILL)
        eventually(lambda: ask_psutil(child.pid) is None, "the zombie counts as gone")
        child.kill()
        assert ask_psutil(child.pid) is None


def test_what_psutil_may_not_see_proves_no_death(monkeypatch: pytest.MonkeyPatch) -> None:
    import psutil

    def refuse(pid: int) -> None:
        raise psutil.AccessDenied(pid)

    monkeypatch.setattr(psutil, "Process", refuse)
    assert ask_psutil(1) == ProcessFacts(1, None, "", 0)
