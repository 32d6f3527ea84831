"""The command as a user runs it: real processes, pipes, signals, terminals, hooks."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gitctx.store import Store
from gitctx_testkit.children import Child, eventually
from gitctx_testkit.command import PATIENCE_S, Gitctx
from gitctx_testkit.counts import few_or_many
from gitctx_testkit.git import git


@pytest.fixture
def gitctx(store: Store, tmp_path: Path) -> Gitctx:
    """The command on a fresh store, verified when the test ends."""
    return Gitctx(tmp_path, {"GITCTX_STORE": str(store.path), "GITCTX_ACTOR": "planner"})


def _count(store: Path) -> int:
    return int(git(store, "rev-list", "--count", "context"))


@pytest.mark.parametrize("number", few_or_many(16, 200))
def test_all_puts_at_once_are_acknowledged_and_in_history(gitctx: Gitctx, number: int) -> None:
    before = _count(gitctx.store)
    done = gitctx.shell(f"for i in $(seq {number}); do gitctx put k/$i v$i & done; wait")
    acknowledged = [line for line in done.stderr.splitlines() if line.startswith("put k/")]
    assert len(acknowledged) == number, done.stderr
    assert _count(gitctx.store) - before == number
    assert sorted(gitctx("ls", "k/").splitlines()) == sorted(f"k/{each}" for each in range(1, number + 1))


def test_one_of_ten_gets_the_claim_and_a_killed_holder_leaves_it_to_the_next(gitctx: Gitctx) -> None:
    del gitctx.environment["GITCTX_ACTOR"]
    with Child("input()") as agent:
        session = gitctx("session", "start", "--pid", str(agent.pid), "--actor", "coder-1", "-q").strip()
        asking = [gitctx.start("claim", "job", "--session", session) for _ in range(10)]
        said = [(process.communicate(timeout=PATIENCE_S)[1].decode(), process.returncode) for process in asking]
        assert sorted(code for _, code in said) == [0] + [4] * 9
        assert all("'job' is claimed by coder-1" in text and session in text for text, code in said if code == 4)
    gitctx("claim", "job", "--actor", "coder-2")
    assert json.loads(gitctx("claims", "--json"))["actor"] == "coder-2"


def test_plain_git_shows_what_a_person_expects(gitctx: Gitctx) -> None:
    with Child("input()") as agent:
        session = gitctx("session", "start", "--pid", str(agent.pid), "-q").strip()
        gitctx("put", "plan/auth.md", "ship the parser\n", "-m", "agreed", "--session", session)
        gitctx("checkpoint", "create", "before", "-m", "all tests pass")
        gitctx("put", "plan/auth.md", "ship it\n", "--actor", "coder-1")
    assert git(gitctx.store, "show", "context:plan/auth.md") == "ship it"
    assert git(gitctx.store, "log", "--author=planner", "--format=%s", "context") == "put plan/auth.md"
    trailers = git(gitctx.store, "log", "--format=%(trailers:key=Gitctx-Session,valueonly)", "context").split()
    assert trailers == [session]
    assert git(gitctx.store, "tag", "-n").split(maxsplit=1) == ["before", "all tests pass"]
    assert "-ship the parser\n+ship it" in git(gitctx.store, "diff", "before", "context")
    assert git(gitctx.store, "fsck", "--full") == ""


def test_a_large_value_goes_through_a_pipe_whole(gitctx: Gitctx) -> None:
    """The process ends at once when it is done: nothing that it wrote may be lost by that."""
    value = os.urandom(1_000_000)
    (gitctx.folder / "value").write_bytes(value)
    done = gitctx.shell("gitctx put big - -q < value && gitctx get big | cat > copy && gitctx get big > again")
    assert (done.returncode, done.stderr) == (0, "")
    assert (gitctx.folder / "copy").read_bytes() == (gitctx.folder / "again").read_bytes() == value
    listed = gitctx.shell("gitctx get big --json | tail -c 3").stdout
    assert listed.endswith("}\n")


def test_a_reader_that_stops_early_ends_the_command_quietly(gitctx: Gitctx) -> None:
    gitctx.shell('seq 3000 | sed \'s/.*/{"op":"put","key":"k\\/&","value":"x"}/\' | gitctx batch -q')
    for command in ("ls", "ls --json", "log -p", "get --help", "diff head~1"):
        done = gitctx.shell(f"set -o pipefail; gitctx {command} | head -n 1")
        assert done.stderr == "", command
        assert done.returncode in (0, 141), command


def test_output_that_cant_be_written_is_told(gitctx: Gitctx) -> None:
    gitctx("put", "k", "v")
    full = gitctx.shell("gitctx get k > /dev/full")
    closed = gitctx.shell("gitctx get k >&-")
    assert (full.returncode, closed.returncode) == (9, 9)
    assert "No space left" in full.stderr
    assert gitctx.shell("gitctx put k w >&- 2>&- <&-").returncode == 0
    assert gitctx("get", "k") == "w"


def test_control_c_ends_a_waiting_command_with_130(gitctx: Gitctx) -> None:
    gitctx("claim", "job", "--actor", "coder-1")
    waiting = gitctx.start("claim", "job", "--wait", "60")
    eventually(lambda: _sleeps(waiting.pid), "the command waits")
    waiting.send_signal(signal.SIGINT)
    out, err = waiting.communicate(timeout=PATIENCE_S)
    assert (waiting.returncode, out, err) == (130, b"", b"")


def _sleeps(pid: int) -> bool:
    """Whether a process has come so far that it has the store's branch open for waiting: it uses no more time."""
    try:
        used = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        names = Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return True
    return used[0] == "S" and "_pygit2" in names and int(used[11]) > 0


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """The two ends of a terminal: ours, and the one for a process."""
    ours, theirs = pty.openpty()
    yield ours, theirs
    os.close(ours)


def _all_of(descriptor: int) -> bytes:
    found = b""
    deadline = time.monotonic() + PATIENCE_S
    while select.select([descriptor], [], [], max(0.0, deadline - time.monotonic()))[0]:
        try:
            part = os.read(descriptor, 65536)
        except OSError:
            break
        if not part:
            break
        found += part
    return found


def test_on_a_terminal_nothing_waits_for_input_that_wasnt_asked_for(gitctx: Gitctx, terminal: tuple[int, int]) -> None:
    ours, theirs = terminal
    process = gitctx.start("put", "k", stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    assert b"there is no VALUE" in _all_of(ours)
    assert process.wait(PATIENCE_S) == 2


def test_on_a_terminal_without_utf8_text_is_plain(gitctx: Gitctx, terminal: tuple[int, int]) -> None:
    gitctx("put", "plan/k\u00e4se", "v")
    ours, theirs = terminal
    gitctx.environment["PYTHONIOENCODING"] = "latin-1"
    process = gitctx.start("ls", stdin=theirs, stdout=theirs)
    os.close(theirs)
    assert _all_of(ours) == b"plan/k\\xe4se\r\n"
    assert process.wait(PATIENCE_S) == 0


def test_the_hooks_of_a_linked_worktree_find_the_store(gitctx: Gitctx, project: Path, tmp_path: Path) -> None:
    """Git exports its own variables to hooks there; the store is the project's, and the commit isn't disturbed."""
    del gitctx.environment["GITCTX_STORE"]
    made = gitctx.shell("gitctx init -q", cwd=project).stdout.strip()
    git(project, "worktree", "add", "-q", "../linked", "-b", "side")
    hook = project / ".git" / "hooks" / "post-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(
        '#!/bin/sh\nenv | grep -c ^GIT_ >&2\ngitctx append commits "$(git rev-parse HEAD)" && gitctx verify\n'
    )
    hook.chmod(0o755)
    (tmp_path / "linked" / "deep").mkdir()
    done = gitctx.shell("git commit -q --allow-empty -m one", cwd=tmp_path / "linked" / "deep")
    assert done.returncode == 0
    assert "append commits" in done.stderr
    assert "sound: " in done.stdout + done.stderr
    assert git(project, "--git-dir", made, "show", "context:commits") == git(tmp_path / "linked", "rev-parse", "HEAD")
    assert git(project, "status", "--porcelain") == git(tmp_path / "linked", "status", "--porcelain") == ""


def test_a_session_around_a_shell_is_that_of_its_commands_and_dies_with_it(gitctx: Gitctx) -> None:
    del gitctx.environment["GITCTX_ACTOR"]
    script = "gitctx put seen-from inside && gitctx claim job && echo ready && read -r line"
    words = ("session", "run", "--agent", "bash", "--actor", "coder-1", "-q", "--", "bash", "-c", script)
    running = gitctx.start(*words, stdin=subprocess.PIPE)
    assert running.stdout is not None
    assert running.stdout.readline() == b"ready\n"
    claimed = json.loads(gitctx("claims", "--json"))
    assert (claimed["actor"], claimed["holder_state"]) == ("coder-1", "alive")
    assert json.loads(gitctx("log", "-n1", "seen-from", "--json"))["session"] == claimed["session"]
    running.kill()
    running.communicate(timeout=PATIENCE_S)
    assert json.loads(gitctx("session", "show", claimed["session"], "--json"))["state"] == "dead"
    gitctx("claim", "job", "--actor", "coder-2")


def test_no_traceback_for_any_mistake(gitctx: Gitctx, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    scripts = (
        "gitctx --store folder ls",
        "gitctx --store /dev/null ls",
        "gitctx -C /nonexistent ls",
        "gitctx put ../k v",
        "gitctx put k --file /nonexistent",
        "gitctx batch folder",
        "gitctx import /dev/null",
        "gitctx export bin/gitctx",
        "gitctx undo head",
        "gitctx get k --at 0000",
        "gitctx log --since ''",
        "gitctx session run -- /",
        "gitctx put k $'\\xff' --actor $'\\xff'",
        "gitctx $'\\xff'",
        "gitctx put k v -m $'\\xff'",
    )
    with ThreadPoolExecutor(4) as pool:
        finished = list(pool.map(gitctx.shell, scripts))
    for script, done in zip(scripts, finished, strict=True):
        assert done.returncode not in (0, 1), (script, done)
        assert "Traceback" not in done.stderr, script
        assert done.stderr.startswith("error: "), script
