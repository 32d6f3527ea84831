"""What the user meets: terminals, help, completion, and how much is imported."""

from __future__ import annotations

import io
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import gitctx
from gitctx_cli.app import run
from gitctx_cli.env import Env
from gitctx_cli.output import Output
from gitctx_cli.table import COMMANDS, Entry


def _every(members: Any, *before: str) -> list[tuple[tuple[str, ...], Entry]]:
    found: list[tuple[tuple[str, ...], Entry]] = []
    for name, entry in members.items():
        if entry.members is not None:
            found += _every(entry.members, *before, name)
        else:
            found.append(((*before, name), entry))
    return found


EVERY = _every(COMMANDS)


@pytest.mark.parametrize(("words", "entry"), EVERY, ids=lambda value: " ".join(value) if len(value) < 3 else "")
def test_every_command_has_help_with_an_example(
    cli: Any, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], entry: Entry
) -> None:
    cli(*words, "--help")
    text = capsys.readouterr().out
    assert text.startswith(f"Usage: gitctx {' '.join(words)} ")
    assert "\nExamples:\n  " in text
    assert f"gitctx {' '.join(words)}" in text.partition("Examples:")[2]
    assert "--store PATH" in text
    assert text.isascii()


def test_help_lists_every_command_in_groups(cli: Any, capsys: pytest.CaptureFixture[str]) -> None:
    cli("--help")
    text = capsys.readouterr().out
    cli()
    assert capsys.readouterr().out == text
    assert [line for line in text.splitlines() if line in ("Store:", "Entries:", "History:", "Working together:")] == [
        "Store:",
        "Entries:",
        "History:",
        "Working together:",
    ]
    for name, entry in COMMANDS.items():
        assert f"\n  {name} " in text
        assert entry.help in text


def test_the_help_of_the_list_is_that_of_the_command() -> None:
    """Every entry of the table leads to a function."""
    for words, entry in EVERY:
        module, _, name = entry.function.partition(":")
        assert callable(getattr(import_module(f"gitctx_cli.{module}"), name)), words


# -- terminals --------------------------------------------------------------------------------------------------------


def test_on_a_terminal_stored_text_cant_drive_it(cli: Any, terminal: Any) -> None:
    cli("put", "k", "-", "-m", "red \x1b[31m\x07\x9b alert", stdin=b"a\x1b[2Jb")
    shown = cli("log", "-p", "-n1", out=terminal()).out
    assert b"\x1b" not in shown
    assert b"\\x1b[31m\\x07\\x9b" in shown
    assert b"+a\\x1b[2Jb" in shown
    assert b"\x1b[31m" in cli("log", "-n1").out


def test_a_value_is_printed_as_it_is_even_on_a_terminal(cli: Any, terminal: Any) -> None:
    cli("put", "k", "-", stdin=b"\x1b[31mred\xff")
    assert cli("get", "k", out=terminal()).out == b"\x1b[31mred\xff"


def test_a_terminal_without_utf8_gets_plain_ascii(cli: Any, terminal: Any) -> None:
    cli("put", "plan/käse", "v")
    assert cli("ls", out=terminal(), encoding="latin-1").out == b"plan/k\\xe4se\n"
    assert cli("ls", out=terminal(), encoding="UTF-8").out == "plan/käse\n".encode()
    assert cli("ls", encoding="latin-1").out == "plan/käse\n".encode()
    plain = cli("ls", "--json", out=terminal(), encoding="ascii")
    assert plain.out.isascii()
    assert plain.json["key"] == "plan/käse"


def test_no_color_is_ever_printed(cli: Any, terminal: Any) -> None:
    cli("put", "k", "v")
    for words in (("log", "-p"), ("status",), ("diff", "head~1"), ("ls", "-l")):
        assert b"\x1b" not in cli(*words, out=terminal()).out


def test_talk_goes_to_standard_error_and_a_closed_one_stops_nothing(cli: Any) -> None:
    class Broken(io.BytesIO):
        def write(self, data: object) -> int:
            raise OSError(5, "Input/output error")

    out = io.BytesIO()
    env = Env(Output(out, Broken()), stdin=None, environ=cli.environ, folder=cli.folder)
    assert run(["put", "k", "v"], env) == 0
    assert cli("get", "k").out == b"v"


# -- completion -------------------------------------------------------------------------------------------------------


def _completed(cli: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, line: str) -> list[str]:
    monkeypatch.setenv("_GITCTX_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
    assert cli().code == 0
    return capsys.readouterr().out.split()


def test_the_shell_completes_what_there_is(
    cli: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cli("put", "plan/auth.md", "x")
    cli("put", "other", "x")
    cli("checkpoint", "create", "before")
    cli("claim", "job")
    for line, found in {
        "gitctx check": ["checkpoint"],
        "gitctx checkpoint re": ["restore"],
        "gitctx get pl": ["plan/auth.md"],
        "gitctx rm ": ["other", "plan/auth.md"],
        "gitctx edit plan/": ["plan/auth.md"],
        "gitctx checkpoint restore be": ["before"],
        "gitctx diff ": ["head", "before"],
        "gitctx release ": ["job"],
        "gitctx put k v --claim ": ["job"],
        "gitctx put k v --strategy f": ["fail"],
        "gitctx put k v --strategy ": ["fail", "last-write-wins", "merge"],
        "gitctx config set me": ["merge."],
        "gitctx config set lim": ["limits.max_value_bytes"],
        "gitctx put --if-a": ["--if-absent"],
        "gitctx ls --sto": ["--store"],
        "gitctx --store nowhere get ": [],
        f"gitctx get --store {cli.environ['GITCTX_STORE']} o": ["other"],
    }.items():
        assert _completed(cli, capsys, monkeypatch, line) == found, line


def test_the_completion_script_is_shown(cli: Any, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    cli("--show-completion", "zsh")
    assert "#compdef gitctx" in capsys.readouterr().out


# -- what is imported -------------------------------------------------------------------------------------------------

_HEAVY = ("pydantic", "rich", "psutil", "git", "tomllib", "tomlkit", "sqlite3", "platformdirs", "asyncio")


@pytest.mark.parametrize(
    "words",
    [("get", "k"), ("ls",), ("put", "k", "w"), ("append", "log", "x"), ("log",), ("watch", "--timeout", "0")],
    ids=" ".join,
)
def test_a_short_command_imports_nothing_heavy(cli: Any, words: tuple[str, ...]) -> None:
    """Most of a short command's time is imports: what it doesn't need must not creep in."""
    cli("put", "k", "v")
    script = (
        "import io, sys; before = set(sys.modules);"
        "from pathlib import Path; from gitctx_cli.app import run; from gitctx_cli.env import Env;"
        "from gitctx_cli.output import Output;"
        f"env = Env(Output(io.BytesIO(), io.BytesIO()), stdin=None, environ={cli.environ!r}, folder=Path());"
        f"code = run({list(words)!r}, env); print(code, *sorted(set(sys.modules) - before))"
    )
    path = [str(Path(gitctx.__file__).parents[1]), *(part for part in sys.path if part)]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {path!r}; {script}"],
        capture_output=True,
        text=True,
        check=True,
    )
    code, *modules = done.stdout.split()
    assert code == "0"
    assert not {name.partition(".")[0] for name in modules}.intersection(_HEAVY)
    nouns = {name for name in modules if name.startswith("gitctx_cli.")}
    assert not nouns.intersection(
        {"gitctx_cli.sessions", "gitctx_cli.config", "gitctx_cli.stores", "gitctx_cli.claims"}
    )
