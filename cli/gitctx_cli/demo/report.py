"""What the demo leaves on standard output: what was found, the proof with its commands, and where to look around."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from gitctx_cli.demo.evidence import Check
from gitctx_cli.demo.languages import OTHER
from gitctx_cli.demo.plan import ADVICE, CHECKPOINT
from gitctx_cli.demo.wording import many

if TYPE_CHECKING:
    from gitctx_cli.demo.conductor import Outcome

Styled = Sequence[tuple[str, str]]
"""One line: pieces of text, each with its style for rich ("" for none)."""

_MOST = 5
_WIDTH = 98


def report(
    outcome: Outcome, summary: Mapping[str, Any], checks: Sequence[Check], *, gitctx: str, ascii_only: bool
) -> Sequence[Styled]:
    """The lines of the report. `gitctx` is how the command is called here."""
    return [
        *_found(outcome, summary),
        (),
        *_proof(outcome, checks, ascii_only=ascii_only),
        (),
        *_look_around(outcome, checks, gitctx),
    ]


def _found(outcome: Outcome, summary: Mapping[str, Any]) -> Sequence[Styled]:
    progress = outcome.progress
    lines: list[Styled] = [[("What they found", "bold")]]
    lines.append([("  ", ""), ("files     ", "dim"), (_fitting(_languages(summary["languages"])), "")])
    lines.append(
        [("  ", ""), ("lines     ", "dim"), (f"{summary['lines']:,}, {summary['todo']:,} with TODO or FIXME", "")]
    )
    imported = sorted(summary["imported"].items(), key=lambda item: (-item[1], item[0]))
    if imported:
        most = [f"{path} by {many(count, 'file')}" for path, count in imported[:_MOST]]
        lines.append([("  ", ""), ("imported  ", "dim"), (_fitting(most), "")])
    if progress.chosen < progress.tracked:
        text = f"only {progress.chosen} of {progress.tracked} files, those nearest to the top: --files N takes more"
        lines.append([("  ", ""), ("not all   ", "dim"), (text, "yellow")])
    if outcome.without_commit:
        text = f"the last commit of {outcome.without_commit} files lies too far back to be found in time"
        lines.append([("  ", ""), ("not all   ", "dim"), (text, "yellow")])
    return lines


def _languages(counts: Mapping[str, Any]) -> Sequence[str]:
    """Files by language, the most frequent first, the rest together."""
    files = {name: count["files"] for name, count in counts.items() if name != OTHER.name}
    most = sorted(files.items(), key=lambda item: (-item[1], item[0]))[:_MOST]
    rest = sum(count["files"] for count in counts.values()) - sum(count for _, count in most)
    return [f"{name} {count}" for name, count in most] + ([f"{OTHER.name} {rest}"] if rest else [])


def _fitting(parts: Sequence[str]) -> str:
    """As many of the parts as a line holds."""
    text = parts[0]
    for part in parts[1:]:
        if len(text) + len(part) + 2 > _WIDTH - 12:
            break
        text += f", {part}"
    return text


def _proof(outcome: Outcome, checks: Sequence[Check], *, ascii_only: bool) -> Sequence[Styled]:
    good, bad = ("ok", "WRONG") if ascii_only else ("✓", "✗")
    paths = [shlex.quote(str(path)) for path in (outcome.progress.store, outcome.project.git_dir)]
    variables = f"S={paths[0]} P={paths[1]}"
    store, project = ['"$S"', '"$P"'] if "'" in variables else ["$S", "$P"]
    lines: list[Styled] = [[("The proof, by plain git", "bold")], _command(variables)]
    for check in checks:
        place = project if check.of_project else store
        lines.append(_command(check.shown_command(place)))
        mark = (f"{good} ", "bold green") if check.ok else (f"{bad} ", "bold red")
        lines.append([("    ", ""), mark, (check.answer, "")])
        lines += [[("      ", ""), (fault, "red")] for fault in check.faults]
    return lines


def _look_around(outcome: Outcome, checks: Sequence[Check], gitctx: str) -> Sequence[Styled]:
    wrong = sum(not check.ok for check in checks)
    if wrong:
        text = f"{wrong} of {len(checks)} checks failed. The store stays as it is: {outcome.progress.store}"
        return [[(text, "bold red")]]
    head = "Nothing was lost, nothing was done twice. The store stays where it is; look around in it:"
    return [[(head, "bold")], *(_command(line) for line in suggestions(outcome, gitctx))]


def _command(line: str) -> Styled:
    return [("  ", ""), ("$", "dim"), (" ", ""), (line, "cyan")]


def suggestions(outcome: Outcome, gitctx: str) -> Sequence[str]:
    """Commands to look around with, each as it can be pasted."""
    store = shlex.quote(str(outcome.progress.store))
    example = shlex.quote(min(outcome.pieces, key=lambda key: ("%" in key, key.count("/"), key)))
    return [
        f"{gitctx} --store {store} log -n 5",
        f"{gitctx} --store {store} get {ADVICE}",
        f"{gitctx} --store {store} get {example}",
        f"{gitctx} --store {store} session list",
        f"git --git-dir={store} log --oneline --author={outcome.taken_over_by} context",
        f"git --git-dir={store} diff --stat {CHECKPOINT} context",
    ]


def document(outcome: Outcome, summary: Mapping[str, Any], checks: Sequence[Check], *, gitctx: str) -> dict[str, Any]:
    """The report as JSON."""
    progress, killed, noticed = outcome.progress, outcome.killed, outcome.noticed
    assert killed is not None
    assert noticed is not None
    return {
        "ok": all(check.ok for check in checks),
        "store": str(progress.store),
        "project": progress.project,
        "project_revision": outcome.project.head,
        "seconds": round(progress.elapsed_s, 3),
        "files": {
            "tracked": progress.tracked,
            "surveyed": progress.written,
            "without_last_commit": outcome.without_commit,
        },
        "pieces": progress.pieces,
        "agents": [
            {
                "actor": agent.name,
                "session": agent.session,
                "pid": agent.pid,
                "state": agent.state,
                "files": agent.files,
                "writes": agent.writes,
                "claims_refused": agent.refused,
                "findings_of_others_read": agent.read,
            }
            for agent in progress.agents.values()
        ],
        "killed": {
            **killed._asdict(),
            "noticed_by": outcome.noticed_by,
            "evidence": [
                {"layer": layer, "finding": finding, "text": text} for layer, finding, text in noticed.evidence
            ],
            "taken_over_by": outcome.taken_over_by,
        },
        "checkpoint": outcome.checkpoint,
        "summary": summary,
        "proof": [
            {
                "name": check.name,
                "command": check.shown_command(
                    shlex.quote(str(outcome.project.git_dir if check.of_project else progress.store))
                ),
                "ok": check.ok,
                "answer": check.answer,
                "faults": list(check.faults),
            }
            for check in checks
        ],
        "look_around": list(suggestions(outcome, gitctx)),
    }
