"""`gitctx doctor`: what is wrong around and in a store, and mending what can be mended safely."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from gitctx.errors import GitctxError
from gitctx_cli import doctor_facts as facts
from gitctx_cli.doctor_judgements import Check, judge_environment, judge_people, judge_sharing, judge_store
from gitctx_cli.env import Env

UNWELL = 7


def doctor(
    env: Env,
    *,
    fix: Annotated[bool, typer.Option("--fix", help="mend what can be mended safely")] = False,
) -> None:
    """Check environment, store and sessions, and say what to do about each finding. Exit code 7 if a problem is left.

    With --fix: git's settings, stale locks, leftovers, maintenance, dead sessions, damage to the store.

    Examples:
      gitctx doctor
      gitctx doctor --fix
      gitctx doctor --json | jq '.findings[] | select(.level != "ok")'
    """
    env.may_recover = False
    path = env.store_path()
    findings = examine(env, path)
    fixed: list[dict[str, str]] = []
    if fix and any(each.fixable for each in findings):
        fixed = [{"code": code, "text": text} for code, text in mend(env, path, findings)]
        findings = examine(env, path)
    healthy = not any(each.level == "problem" for each in findings)
    if env.json:
        env.output.document(_document(path, findings, fixed, healthy=healthy))
    else:
        _show(env, findings, fixed)
    if not healthy:
        raise typer.Exit(UNWELL)


def examine(env: Env, path: Path) -> list[Check]:
    """All findings about the store at `path`, with its path in their commands. Raises StoreNotFound."""
    from gitctx.errors import StoreNotFound
    from gitctx.store import Store

    store, error = None, None
    try:
        store = Store.open(path)
    except StoreNotFound:
        raise
    except GitctxError as failed:
        error = failed
    findings = list(judge_environment(facts.environment(path, store)))
    findings += judge_store(facts.condition(path, store, error))
    if store is not None:
        findings += judge_people(_people(env))
        findings += judge_sharing(facts.sharing(env.reading(session=False).sync))
    return [
        each._replace(command=each.command.replace("STORE", str(path)) if each.command else None) for each in findings
    ]


def _people(env: Env) -> facts.People:
    try:
        reading = env.reading(session=False)
        claims = [(each.name, str(each.holder_state)) for each in reading.claims.list()]
        return facts.people(reading.sessions, claims)
    except GitctxError as error:
        return facts.People(facts.told(error))


def mend(env: Env, path: Path, findings: list[Check]) -> Iterator[tuple[str, str]]:
    """Do what the fixable findings say; the code and what was done. What fails is told too, and stays a finding."""
    codes = {each.code for each in findings if each.fixable}
    damaged = any(code.startswith("damage_") for code in codes)
    steps = (
        (lambda code: damaged and code.startswith("damage_"), _recover),
        (lambda code: not damaged and code == "stale_lock", _clear_locks),
        (lambda code: code == "config", _set_config),
        (lambda code: code in ("leftovers", "keep"), _clear_leftovers),
        (lambda code: code == "packs", _maintain),
        (lambda code: code in ("dead_session", "dead_claim"), _recover_sessions),
    )
    for concerns, step in steps:
        meant = sorted(filter(concerns, codes))
        if meant:
            try:
                yield meant[0], step(env, path)
            except (GitctxError, OSError) as error:
                yield meant[0], f"not mended: {error}"


def _recover(env: Env, path: Path) -> str:
    from gitctx.recovery import Recovery
    from gitctx_cli.recovery import summary

    done = Recovery(path, actor=env.actor_of(None, None)).apply()
    return f"recovered the store: {summary(done)}" if done.changed else "somebody else recovered the store meanwhile"


def _clear_locks(env: Env, path: Path) -> str:
    from gitctx.recovery import Recovery

    return f"cleared stale locks: {', '.join(Recovery(path).clear_locks()) or 'none was left'}"


def _set_config(env: Env, path: Path) -> str:
    from gitctx.store import Store
    from gitctx.store.identity import REQUIRED_CONFIG

    repository = Store.open(path).repository
    config = repository.config()
    wrong = {name: value for name, value in REQUIRED_CONFIG.items() if config.get(name, "").lower() != value}
    for name, value in wrong.items():
        repository.set_config(name, value)
    return f"set {', '.join(wrong) or 'nothing'}"


def _clear_leftovers(env: Env, path: Path) -> str:
    import time

    from gitctx.repository import leftovers
    from gitctx.repository.packs import keeps
    from gitctx.store import Store

    store = Store.open(path)
    with store.context.turn(), store.sessions.turn():
        removed = leftovers.clear(path)
        before = time.time() - leftovers.LEFTOVER_AGE_S
        left, _ = keeps(str(path / "objects"), before)
        store.repository.clear_stale_keeps(before)
        still, _ = keeps(str(path / "objects"), before)
    return f"removed {removed} temporary files and {len(left) - len(still)} .keep files of killed writers"


def _maintain(env: Env, path: Path) -> str:
    from gitctx.maintenance.maintenance import Maintenance
    from gitctx.repository.compaction import Compactor
    from gitctx.store import Store

    folder = path / "objects" / "pack"
    before = len(list(folder.glob("*.pack")))
    for _ in range(before):
        now = len(list(folder.glob("*.pack")))
        Compactor(str(path)).run()
        if len(list(folder.glob("*.pack"))) >= now:
            break
    Maintenance(Store.open(path)).run()
    return f"maintained: {before} packs before, {len(list(folder.glob('*.pack')))} now"


def _recover_sessions(env: Env, path: Path) -> str:
    sessions = env.reading(session=False).sessions
    done = sessions.recover(None, actor=env.actor_of(None, None), session=None, silent=False, message="")
    names = ", ".join(each.record.id for each in done.recovered) or "none"
    return f"recovered sessions: {names}" + (f"; {done.problem}" if done.problem else "")


def _document(path: Path, findings: list[Check], fixed: list[dict[str, str]], *, healthy: bool) -> dict[str, Any]:
    return {
        "store": str(path),
        "healthy": healthy,
        "findings": [each._asdict() for each in findings],
        "fixed": fixed,
    }


def _show(env: Env, findings: list[Check], fixed: list[dict[str, str]]) -> None:
    area = ""
    for each in findings:
        if each.area != area:
            area = each.area
            env.output.line(area)
        env.output.line(f"  {each.level:<8} {each.code:<20} {each.text}")
        if each.command and each.level != "ok":
            env.output.line(f"  {'':<8} {'':<20} -> {each.command}")
    for done in fixed:
        env.output.line(f"fix ({done['code']}): {done['text']}")
