"""`gitctx demo` as a newcomer runs it: four processes, one killed, on a project with everything that bites."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from gitctx.context import open_context
from gitctx_testkit.audit import assert_sound
from gitctx_testkit.children import eventually
from gitctx_testkit.git import clean_environment, git

COMMAND = [sys.executable, "-P", "-c", "from gitctx_cli.app import main; main()"]
HEED_CTRL_C = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
LIMIT_S = 60.0
FILES = {
    b"README.md": b"# Hello\n",
    b".gitignore": b"*.o\n",
    b"-dash": b"",
    b"app/__init__.py": b"",
    b"app/names.py": b"import os\n# TODO: more names\n",
    b"app/main.py": b"from app import names\nimport csv\n\nx = 1  # FIXME\n",
    b"app/data.json/odd": b"{}\n",
    b"app/data": b"1\n2\n",
    b"logo.png": b"\x89PNG\r\n\0\0",
    b"caf\xe9\n.txt": b"\xff\xfe latin\n",
    b'a "quoted" na~me.': b"x\n",
    b"json.py": b"raise SystemExit('the project must not be imported')\n",
    b"typer.py": b"raise SystemExit('the project must not be imported')\n",
    b"large.bin": b"TODO " * 300_000,
}


def environment(**more: str) -> dict[str, str]:
    return clean_environment(PYTHONPATH=os.pathsep.join(path for path in sys.path if path), **more)


def gitctx(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *words], cwd=folder, env=environment(**more), capture_output=True, text=True, timeout=LIMIT_S
    )


def agents(below: Path) -> list[int]:
    """The processes of agents that work on a store in a folder."""
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if "gitctx_cli.demo.agent" in (words := process.info["cmdline"] or [])
        and any(word.startswith(str(below)) for word in words)
    ]


def snapshot(folder: Path) -> dict[bytes, tuple[int, int, bytes]]:
    """Every file below a folder, with what would tell that it was touched."""
    found = {}
    for place, _, names in os.walk(os.fsencode(folder)):
        for name in names:
            path = os.path.join(place, name)
            status = os.lstat(path)
            data = os.readlink(path) if os.path.islink(path) else Path(os.fsdecode(path)).read_bytes()
            found[path] = (status.st_mtime_ns, status.st_mode, data)
    return found


@pytest.fixture(scope="module")
def odd_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with names and contents that bite."""
    folder = tmp_path_factory.mktemp("odd")
    git(folder, "init", "-q", "-b", "main")
    for name, data in FILES.items():
        path = Path(os.fsdecode(os.fsencode(folder) + b"/" + name))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (folder / "link").symlink_to("nowhere")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "first")
    (folder / "app" / "main.py").write_bytes(FILES[b"app/main.py"])
    git(folder, "commit", "-q", "--allow-empty", "-m", "second")
    (folder / "untracked").write_text("not for the demo\n")
    return folder


@pytest.fixture(scope="module")
def run(odd_project: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """One run over the odd project, from a subfolder of it: the JSON document, and the store."""
    store = tmp_path_factory.mktemp("kept") / "demo.git"
    before = snapshot(odd_project)
    done = gitctx(odd_project / "app", "demo", "--json", "--keep", str(store))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert snapshot(odd_project) == before, "the demo changed the project"
    document: dict[str, Any] = json.loads(done.stdout)
    return document, store


def test_every_tracked_file_is_surveyed_once_and_every_check_passes(run: tuple[dict[str, Any], Path]) -> None:
    document, store = run
    assert document["ok"]
    assert document["files"] == {"tracked": len(FILES) + 1, "surveyed": len(FILES) + 1, "without_last_commit": 0}
    assert [check["name"] for check in document["proof"] if not check["ok"]] == []
    assert sum(agent["files"] for agent in document["agents"]) == len(FILES) + 1
    assert len({agent["pid"] for agent in document["agents"]}) == 4
    assert_sound(store)


def test_the_killed_agents_death_is_proved_and_its_piece_finished_by_another(run: tuple[dict[str, Any], Path]) -> None:
    document, store = run
    killed = document["killed"]
    assert {"layer": "process", "finding": "dead"}.items() <= killed["evidence"][1].items()
    assert killed["taken_over_by"] not in (None, killed["agent"])
    with open_context(store, actor="reader") as ctx:
        states = {status.record.id: status.state for status in ctx.sessions.list()}
        assert sorted(states.values()) == ["dead", "ended", "ended", "ended"]
        assert states[killed["session"]] == "dead"
        assert list(ctx.claims.list()) == []
        piece = ctx.get(f"plan/done/{killed['piece']}.json").json()
        assert {ctx.get(item["key"]).json()["by"] for item in piece["files"]} >= {killed["taken_over_by"]}
    assert agents(store) == []


def test_findings_tell_what_is_in_the_files(run: tuple[dict[str, Any], Path], odd_project: Path) -> None:
    _, store = run
    with open_context(store, actor="reader") as ctx:
        findings = {info.key: ctx.get(info.key).json() for info in ctx.list("finding/")}
        summary = ctx.get("summary.json").json()
        assert "app/names.py" in ctx.get("decision/read-first.md").text()
        assert len(ctx.get("status/log").text().splitlines()) == len(summary["pieces"]) + 1
    main = findings["finding/app/main.py.json"]
    assert (main["language"], main["lines"], main["uses"]) == ("Python", 4, ["csv"])
    assert main["todo"] == [{"line": 4, "text": "x = 1  # FIXME"}]
    assert [each["file"] for each in main["imports"]] == ["app/names.py"]
    assert main["last_commit"]["id"] == git(odd_project, "rev-parse", "HEAD~1")
    assert main["last_commit"]["author"] == "somebody"
    assert findings["finding/logo.png.json"]["note"] == "binary"
    assert findings["finding/large.bin.json"]["lines"] is None
    odd = findings["finding/caf%E9%0A.txt.json"]
    assert (odd["path"], odd["lines"]) == ("caf\\xe9\\n.txt", 1)
    assert summary["todo"] == 2
    assert summary["imported"] == {"app/names.py": 1}


def test_the_suggested_commands_work(run: tuple[dict[str, Any], Path], tmp_path: Path) -> None:
    document, _ = run
    assert len(document["look_around"]) == 6
    shim = tmp_path / "gitctx"
    shim.write_text(f"#!{sys.executable}\nfrom gitctx_cli.app import main\nmain()\n")
    shim.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    for command in document["look_around"]:
        done = subprocess.run(
            ["bash", "-c", command], env=environment(PATH=path), capture_output=True, text=True, timeout=LIMIT_S
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        assert "error" not in done.stderr.lower(), command
        assert done.stdout, command


def test_a_project_of_one_file_works_too_and_a_terminal_without_utf8_or_colour_gets_neither(
    project: Path, tmp_path: Path
) -> None:
    output, code = on_terminal(project, tmp_path, "demo", NO_COLOR="1", PYTHONIOENCODING="latin-1")
    assert code == 0, output
    output.decode("ascii")
    assert not re.search(rb"\x1b\[[0-9;]*3\dm", output)
    for words in (b"killed by SIGKILL", b"took over survey-1 from", b"1 of 1 file", b"1 finding, one for each file"):
        assert words in output
    (store,) = (tmp_path / "temporary").iterdir()
    assert store.stat().st_mode & 0o077 == 0, "others can read what was found in the project"


def on_terminal(folder: Path, tmp_path: Path, *words: str, **more: str) -> tuple[bytes, int]:
    """What a command prints on a terminal of its own, and its exit code."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    ours, theirs = pty.openpty()
    more |= {"TMPDIR": str(temporary), "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "60"}
    process = subprocess.Popen(
        [*COMMAND, *words], cwd=folder, env=environment(**more), stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    output = b""
    try:
        while chunk := os.read(ours, 65536):
            output += chunk
    except OSError:  # how Linux tells that the other side has closed
        pass
    os.close(ours)
    return output, process.wait(LIMIT_S)


def test_more_files_than_asked_for_are_left_out_and_it_says_so(odd_project: Path, tmp_path: Path) -> None:
    done = gitctx(odd_project, "demo", "--files", "2", TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stdout
    assert "only 2 of 15 files" in done.stdout
    assert "✓ 15 files tracked, 13 of them left out" in done.stdout
    assert "✓ 2 findings, one for each file" in done.stdout
    assert "killed by SIGKILL" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert max(map(len, done.stdout.replace(str(tmp_path), "/tmp").splitlines())) <= 100


@contextmanager
def started(folder: Path, temporary: Path, words: bytes) -> Iterator[subprocess.Popen[bytes]]:
    """A demo that has come so far that it said these words."""
    process = subprocess.Popen(
        [*COMMAND[:-1], f"{HEED_CTRL_C}; {COMMAND[-1]}", "demo"],
        cwd=folder,
        env=environment(TMPDIR=str(temporary)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    assert process.stderr is not None
    try:
        while words not in (line := process.stderr.readline()):
            assert line, f"it never said {words!r}"
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("words", [b"the store is", b"planner: cut"])
def test_ctrl_c_ends_the_agents_and_exits_130(words: bytes, odd_project: Path, tmp_path: Path) -> None:
    with started(odd_project, tmp_path, words) as process:
        process.send_signal(signal.SIGINT)
        _, talk = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 130, talk
        assert b"stopped, and all agents with it" in talk
        assert b"Traceback" not in talk
    assert agents(tmp_path) == []


def test_agents_end_by_themselves_when_the_demo_is_killed(odd_project: Path, tmp_path: Path) -> None:
    with started(odd_project, tmp_path, b"planner: cut") as process:
        assert agents(tmp_path)
        process.kill()
    eventually(lambda: not agents(tmp_path), "no agent is left")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["demo"], 3, "isn't inside a git project"),
        (["demo", "--project", "missing"], 3, "there is no folder"),
        (["demo", "--files", "0"], 2, "--files takes a number of 1 or more"),
        (["demo", "--project", "{project}", "--keep", "{project}"], 4, "isn't empty"),
    ],
)
def test_what_it_refuses_costs_nothing(words: list[str], code: int, said: str, project: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    began = time.monotonic()
    done = gitctx(outside, *(word.format(project=project) for word in words), TMPDIR=str(outside))
    assert (done.returncode, done.stdout) == (code, "")
    assert said in done.stderr
    assert "hint: " in done.stderr
    assert list(outside.iterdir()) == [], "something was left behind"
    assert time.monotonic() - began < 20
