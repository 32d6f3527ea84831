"""What the README tells a newcomer to type works, line by line."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from gitctx.context import open_context
from gitctx_testkit.git import clean_environment

README = Path(__file__).parents[2] / "README.md"


def section(title: str) -> str:
    text = README.read_text("utf-8")
    return text.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def shell_lines(title: str) -> list[str]:
    return [line[4:] for line in section(title).split("\n") if line.startswith("    ")]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    shim = tmp_path / "bin" / "gitctx"
    shim.parent.mkdir()
    shim.write_text(f"#!{sys.executable}\nfrom gitctx_cli.app import main\nmain()\n")
    shim.chmod(0o755)
    environment = clean_environment()
    environment["PATH"] = f"{shim.parent}:{environment['PATH']}"
    return environment


def run_shell(script: str, folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-e"], input=script, cwd=folder, env=environment, capture_output=True, text=True, timeout=120
    )


def test_the_five_minute_tour_runs_as_it_is_written(project: Path, environment: dict[str, str]) -> None:
    lines = []
    for line in shell_lines("Five minutes"):
        expected = re.search(r"# exit code (\d+)", line)
        lines.append(f"{line.split('  #')[0]} || test $? = {expected[1]}" if expected else line)
    done = run_shell("\n".join(lines) + "\n", project, environment)
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr.replace("error: 'plan/auth.md' holds an entry already", "")
    with open_context(project, actor="reader") as ctx:
        assert ctx.get("plan/auth.md").text() == "half done"
        assert [status.state for status in ctx.sessions.list()] == ["ended"]
        assert list(ctx.claims.list()) == []
        assert {write.actor for write in ctx.log()} == {"gitctx", "planner"}
        assert ctx.verify(full=True).problems == ()


def test_the_python_example_and_the_git_commands_run_as_they_are_written(
    project: Path, environment: dict[str, str]
) -> None:
    assert run_shell("gitctx init", project, environment).returncode == 0
    code = re.search(r"```python\n(.*?)```", section("From Python"), re.DOTALL)
    assert code is not None
    done = subprocess.run([sys.executable, "-c", code[1]], cwd=project, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "{'owner': 'coder-2'}\n"), done.stderr
    with open_context(project, actor="planner") as ctx:
        ctx.put("plan/auth.md", "ship it")
        store = ctx.store.path
    for line in shell_lines("With plain git"):
        done = run_shell(line.replace("STORE", str(store)), project, environment)
        assert done.returncode == 0, (line, done.stderr)
        assert done.stdout or "fsck" in line, f"{line} shows nothing"


def test_working_together_runs_as_it_is_written(project: Path, environment: dict[str, str], tmp_path: Path) -> None:
    server = tmp_path / "project.git"
    subprocess.run(["git", "clone", "-q", "--bare", project, server], check=True, env=environment)
    subprocess.run(["git", "remote", "add", "origin", server], check=True, env=environment, cwd=project)
    prepared = run_shell("gitctx init\ngitctx put plan/auth.md 'ship it' --actor planner", project, environment)
    assert prepared.returncode == 0, prepared.stderr
    text = section("Together")
    code = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert code is not None
    lines = [line[4:] for line in text.replace(code[0], "").split("\n") if line.startswith("    ")]
    done = run_shell("\n".join(lines), project, environment)
    assert done.returncode == 0, done.stderr
    refs = subprocess.run(["git", "ls-remote", server], check=True, env=environment, capture_output=True, text=True)
    names = [line.split("\t")[1] for line in refs.stdout.splitlines()]
    assert [name for name in names if name.startswith("refs/gitctx/")] == [
        "refs/gitctx/heads/context",
        "refs/gitctx/heads/sessions",
    ]
    subprocess.run(["git", "clone", "-q", server, "clone"], check=True, env=environment, cwd=tmp_path)
    joined = run_shell("gitctx init\ngitctx get plan/auth.md", tmp_path / "clone", environment)
    assert joined.stdout.endswith("ship it"), joined.stderr
    ran = subprocess.run(
        [sys.executable, "-c", f"import gitctx\n{code[1]}"],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert (ran.returncode, ran.stdout) == (0, "0\n"), ran.stderr
