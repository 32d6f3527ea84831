"""The git command, run through GitPython on one store, with nothing of the caller's git environment left.

Inside a hook git exports GIT_DIR, GIT_INDEX_FILE and more: without scrubbing, `git` would work on the user's project.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from gitctx.errors import GitFailed

# What `git rev-parse --local-env-vars` lists, and what changes git's answers.
_SCRUBBED = (
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_CONFIG",
    "GIT_CONFIG_PARAMETERS",
    "GIT_CONFIG_COUNT",
    "GIT_OBJECT_DIRECTORY",
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_GRAFT_FILE",
    "GIT_INDEX_FILE",
    "GIT_NO_REPLACE_OBJECTS",
    "GIT_REPLACE_REF_BASE",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_COMMON_DIR",
    "GIT_INTERNAL_SUPER_PREFIX",
    "GIT_NAMESPACE",
    "GIT_QUARANTINE_PATH",
    "GIT_LITERAL_PATHSPECS",
    "GIT_TRACE",
    "GIT_EXTERNAL_DIFF",
    "GIT_AUTHOR_NAME",
    "GIT_AUTHOR_EMAIL",
    "GIT_AUTHOR_DATE",
    "GIT_COMMITTER_DATE",
)
_PREFIX = [
    "env",
    *(part for name in _SCRUBBED for part in ("-u", name)),
    # What it moves is logged. Not told who does it, git asks the network for this host's full name, and waits for it.
    "GIT_COMMITTER_NAME=gitctx",
    "GIT_COMMITTER_EMAIL=gitctx@gitctx.invalid",
    "GIT_TERMINAL_PROMPT=0",
    "GIT_OPTIONAL_LOCKS=0",
    "GIT_NO_LAZY_FETCH=1",
    "LC_ALL=C",
]


def command_line(git_dir: Path, *arguments: str, at_once: bool = False) -> list[str]:
    """The words that run git on a repository, with the caller's git environment scrubbed. With `at_once` it writes each
    line on its own, where it would do so on a terminal.
    """
    return [*_PREFIX, f"GIT_FLUSH={int(at_once)}", "git", f"--git-dir={git_dir}", *arguments]


def git_lines(git_dir: Path, *arguments: str, at_once: bool = False) -> Iterator[str]:
    """What git prints, line by line while it runs; it is stopped when nobody wants more. With `at_once` git writes each
    line as soon as it has it: for few lines, of which the first may be enough.

    Raises GitFailed if git isn't installed or exits with an error.
    """
    shown = "git " + " ".join(arguments[:4])
    try:
        process = subprocess.Popen(
            command_line(git_dir, *arguments, at_once=at_once),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
    except OSError as error:
        raise GitFailed(f"{shown} couldn't be run: {error}", hint="is git installed and on the PATH?") from error
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            for line in process.stdout:
                yield line.removesuffix("\n")
            talk = process.stderr.read()
            if process.wait() != 0:
                raise GitFailed(
                    f"{shown} failed with status {process.returncode}: {talk.strip()[-500:]}",
                    hint="`gitctx verify` tells whether history is whole",
                    details={"status": process.returncode, "stderr": talk[-2000:]},
                )
        finally:
            process.kill()


def run_git(
    git_dir: Path, *arguments: str, timeout_s: float, stdin: bytes = b"", ok: tuple[int, ...] = (0,)
) -> tuple[int, bytes, str]:
    """Run git on a repository: exit status, standard output, standard error.

    Raises GitFailed if git isn't installed, runs out of time, or exits with a status that isn't in `ok`.
    """
    from git.cmd import Git
    from git.exc import GitCommandError, GitCommandNotFound

    command = command_line(git_dir, *arguments)
    shown = "git " + " ".join(arguments)
    try:
        with tempfile.TemporaryFile() as source:
            source.write(stdin)
            source.seek(0)
            status, output, talk = Git(str(git_dir)).execute(
                command,
                istream=source,
                with_extended_output=True,
                with_exceptions=False,
                stdout_as_string=False,
                strip_newline_in_stdout=False,
                kill_after_timeout=timeout_s,
            )
    except (GitCommandNotFound, GitCommandError, OSError) as error:
        raise GitFailed(f"{shown} couldn't be run: {error}", hint="is git installed and on the PATH?") from error
    text = talk.decode("utf-8", "replace") if isinstance(talk, bytes) else str(talk)
    if status not in ok:
        raise GitFailed(
            f"{shown} failed with status {status}: {text.strip()[-500:]}",
            hint="run it by hand to see more, with --git-dir of the store",
            details={"status": status, "stderr": text[-2000:]},
        )
    return status, output, text
