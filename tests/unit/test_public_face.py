"""What `import gitctx` gives and costs: everything public is there, nothing is loaded before it is used."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import subprocess
import sys

import pytest

import gitctx
from gitctx_testkit.git import clean_environment

LAZY = (
    "gitctx.aio",
    "gitctx.values",
    "gitctx.context",
    "gitctx.store",
    "gitctx.sessions",
    "gitctx.checkpoints",
    "gitctx.repository",
)
HEAVY = ("pygit2", "git", "sqlite3", "tomlkit", "tomllib", "psutil", "typer", "rich", "subprocess", "multiprocessing")


def loaded_after(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after some code."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\nbefore = set(sys.modules)\n{code}\nprint(*set(sys.modules) - before)"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("name", ["gitctx", *LAZY])
def test_every_public_name_is_there_and_tells_what_it_is(name: str) -> None:
    module = importlib.import_module(name)
    assert sorted(module.__all__) == list(module.__all__)
    for public in module.__all__:
        found = getattr(module, public)
        if inspect.isclass(found) or inspect.isfunction(found) or inspect.ismodule(found):
            assert inspect.getdoc(found), f"{name}.{public} says nothing of itself"


def test_the_face_has_the_names_that_programs_are_told_of() -> None:
    assert set(gitctx.__all__) == {
        *("AsyncContext", "Batch", "Config", "Context", "RetryPolicy"),
        *("create", "errors", "find_store", "open", "open_async", "values"),
    }
    assert gitctx.open is gitctx.open
    assert gitctx.Context.__name__ == "Context"


@pytest.mark.parametrize("name", ["gitctx", "gitctx.values", "gitctx.context", "gitctx.aio"])
def test_a_name_that_is_not_there_is_an_attribute_error(name: str) -> None:
    module = importlib.import_module(name)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = module.no_such_name
    assert not hasattr(module, "no_such_name")


def test_star_import_gives_every_public_name() -> None:
    names: dict[str, object] = {}
    exec("from gitctx import *", names)
    assert set(gitctx.__all__) <= set(names)


def test_importing_gitctx_loads_nothing_heavy() -> None:
    idle = loaded_after("")
    extra = loaded_after("import gitctx") - idle
    assert extra.isdisjoint(HEAVY)
    assert {name for name in extra if name.startswith("gitctx")} <= {"gitctx"}


def test_errors_and_values_are_had_without_git() -> None:
    assert loaded_after("import gitctx; gitctx.errors; gitctx.values.Entry; gitctx.Config").isdisjoint(
        {"pygit2", "git", "sqlite3", "tomlkit"}
    )


def test_opening_and_reading_loads_neither_the_writer_nor_gitpython(tmp_path_factory: pytest.TempPathFactory) -> None:
    path = gitctx.create(tmp_path_factory.mktemp("store") / "store.git")
    loaded = loaded_after(f"import gitctx\nlist(gitctx.open({str(path)!r}, actor='reader').list())")
    assert "pygit2" in loaded
    assert loaded.isdisjoint({"git", "sqlite3", "tomlkit", "psutil", "gitctx.store.writer", "gitctx.sessions"})


def test_every_module_can_be_imported_first() -> None:
    """No module needs another one to have been imported before it."""
    names = [module.name for module in pkgutil.walk_packages(gitctx.__path__, "gitctx.")]
    assert len(names) > 30
    code = (
        "import importlib, sys\n"
        f"for name in {names!r}:\n"
        "    for loaded in [each for each in sys.modules if each.split('.')[0] == 'gitctx']:\n"
        "        del sys.modules[loaded]\n"
        "    importlib.import_module(name)\n"
    )
    loaded_after(code)


def test_the_library_neither_prints_nor_reads_the_environment(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("quiet")
    code = (
        "import gitctx\n"
        f"path = gitctx.create({str(folder / 'store.git')!r})\n"
        "with gitctx.open(path, actor='planner') as ctx:\n"
        "    ctx.put('a', '1')\n"
        "    ctx.checkpoints.create('mark')\n"
        "    list(ctx.log())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=clean_environment(GITCTX_STORE="/nowhere", GITCTX_ACTOR="nobody", GIT_DIR="/nowhere"),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("", "")
    with gitctx.open(folder / "store.git", actor="reader") as ctx:
        assert next(ctx.log()).actor == "planner"
