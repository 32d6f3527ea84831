"""The steps of maintenance. Each may be killed at any moment: the next run finds what is left to do by looking."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from gitctx import failpoints
from gitctx.maintenance import planning
from gitctx.maintenance import thresholds as at
from gitctx.maintenance.look import Look, Stamps, has_loose_objects, look
from gitctx.repository import leftovers, reflog_expiry, stale_locks
from gitctx.repository.disk import unlink_quietly
from gitctx.repository.repacking import PackFiles, Repacking, remains
from gitctx.store import Store


class Steps:
    """The steps for one store, for the one program that maintains it. `gentle`: a slice of each, in nobody's way.

    Each says what it did. All raise GitFailed, OSError, RefLocked, RefMoved; what was there before is there then.
    """

    def __init__(self, store: Store, repacking: Repacking, *, grace_s: float, gentle: bool) -> None:
        self._store = store
        self._repository = store.repository
        self._path = store.path
        self._repacking = repacking
        self._grace_s = grace_s
        self._gentle = gentle
        self._stamps = Stamps(store.path)

    def look(self) -> Look:
        """How the store lies now."""
        return look(self._repository, self._repacking, now_s=self._now(), grace_s=self._grace_s)

    def run(self, name: str) -> str:
        """Do the step of that name; what was done."""
        step: Callable[[], str] = getattr(self, f"_{name}")
        return step()

    def _now(self) -> float:
        return self._store.config.clock().timestamp()

    @cached_property
    def _git_version(self) -> tuple[int, ...]:
        _, output, _ = self._repository.git("version")
        numbers = output.decode("ascii", "replace").split()[2].split(".")
        return tuple(int(each) for each in numbers if each.isdigit())

    # -- tidying ------------------------------------------------------------------------------------------------------

    def _locks(self) -> str:
        with self._store.context.turn() as context, self._store.sessions.turn() as sessions:
            cleared = stale_locks.clear_all(self._repository.refs, alone=context.alone and sessions.alone)
        failpoints.hit("maintain.after_locks")
        return f"cleared {', '.join(cleared) or 'none'}"

    def _leftovers(self) -> str:
        with self._store.context.turn(), self._store.sessions.turn():
            removed = leftovers.clear(self._path)
            self._repository.clear_stale_keeps(time.time() - leftovers.LEFTOVER_AGE_S)
        failpoints.hit("maintain.after_leftovers")
        for each in remains(self._path):
            shutil.rmtree(each, ignore_errors=True)
            unlink_quietly(str(each))
        return f"removed {removed} temporary files"

    def _reflogs(self) -> str:
        before = self._now() - self._grace_s
        shorter = 0
        with self._repacking.work() as work:
            for name in reflog_expiry.logs(self._path):
                if reflog_expiry.begins_before(self._path, name, before):
                    with suppress(FileNotFoundError):
                        shorter += reflog_expiry.expire(self._repository.refs, name, before, work)
        self._stamps.write(reflogs=self._now())
        return f"{shorter} bytes shorter"

    def _refs(self) -> str:
        new = self._git_version >= at.EXCLUDE_REFS_SINCE
        self._repository.git("pack-refs", *(("--all", "--exclude", "refs/heads/*") if new else ()), "--prune")
        failpoints.hit("maintain.after_refs")
        return "packed"

    # -- packs --------------------------------------------------------------------------------------------------------

    @property
    def _knows_cruft(self) -> bool:
        return self._git_version >= at.CRUFT_SINCE

    def _deltas(self) -> str:
        before, rounds = self._repacking.all(), 0
        fresh = [each for each in before if self._is_fresh(each)]
        while chosen := planning.next_slice(fresh):
            self._settle(chosen)
            rounds += 1
            if self._gentle:
                break
            fresh = [each for each in fresh if each not in chosen]
        if not rounds:
            self._settle([])
        return f"{len(before)} packs before, {len(self._repacking.all())} now"

    def _is_fresh(self, pack: PackFiles) -> bool:
        return "mtimes" not in pack.kinds and pack.name not in self._repacking.settled()

    def _settle(self, chosen: Sequence[PackFiles]) -> None:
        """Make one pack with deltas of fresh ones, and of the loose objects."""
        loose = ("--unpacked",) if self._knows_cruft else ()
        self._replace(chosen, "--no-reuse-object", "--no-reuse-delta", f"--window={at.WINDOW}", *loose)
        if loose:
            self._repository.git("prune-packed", "-q")
            failpoints.hit("maintain.after_prune")

    def _merge(self) -> str:
        settled = [each for each in self._repacking.all() if each.name in self._repacking.settled()]
        chosen = planning.merged(settled, at.MERGE_SLICE_BYTES if self._gentle else None)
        if not chosen:
            return "none were of like size"
        self._replace(chosen)
        return f"{len(chosen)} packs became one"

    def _replace(self, chosen: Sequence[PackFiles], *arguments: str) -> None:
        gone: list[str] = []

        def names() -> bytes:
            there = {each.name for each in self._repacking.all()}
            gone[:] = [each.name for each in chosen if each.name in there]
            return "".join(f"{name}.pack\n" for name in gone).encode("ascii")

        with self._repacking.work() as work:
            made = self._repacking.pack(work, "--stdin-packs", *arguments, stdin=names)
            failpoints.hit("maintain.after_pack")
            if made:
                with self._repacking.appeared(made) as new:
                    self._repacking.take_away(gone, kept_as=new)

    def _unreachable(self) -> str:
        """Everything that is reached becomes one pack; what isn't goes into a pack of its own, with the time of each
        object, until its grace has ended.
        """
        before, kept = self._repacking.all(), self._repacking.kept()
        expired = f"@{int(self._now() - self._grace_s)} +0000"
        reached = ["--all", "--reflog", "--indexed-objects", "--keep-true-parents", f"--window={at.WINDOW}"]
        reached += [f"--keep-pack={name}.pack" for name in kept]
        if not self._knows_cruft:
            reached.append(f"--unpack-unreachable={expired}")
        with self._repacking.work() as work:
            made = self._repacking.pack(work, *reached)
            failpoints.hit("maintain.after_pack")
            with self._repacking.appeared(made) as new:
                rest = self._pack_unreachable(work, before, [*new, *kept], expired) if self._knows_cruft else []
                with self._repacking.appeared(rest) as beside:
                    failpoints.hit("maintain.after_unreachable")
                    self._write_graph("--split=replace")
                    self._repacking.take_away([each.name for each in before], kept_as=new, beside=beside)
        self._repository.git("prune-packed", "-q")
        if has_loose_objects(self._path):
            self._repacking.git("prune", f"--expire={expired}")
        failpoints.hit("maintain.after_prune")
        packs = self._repacking.all()
        self._stamps.write(unreachable=self._now(), bytes=float(sum(each.size_bytes for each in packs)))
        self._note_graph(packs)
        return f"{len(before)} packs before, {len(packs)} now"

    def _pack_unreachable(
        self, work: Path, before: Sequence[PackFiles], stay: Sequence[str], expired: str
    ) -> list[Path]:
        def names() -> bytes:
            folder = self._repository.objects_dir / "pack"
            lines = [f"{name}.pack" for name in stay if os.path.exists(folder / f"{name}.idx")]
            lines += [f"-{each.name}.pack" for each in before if os.path.exists(folder / f"{each.name}.idx")]
            return "".join(f"{line}\n" for line in lines).encode("ascii")

        return self._repacking.pack(work, "--cruft", f"--cruft-expiration={expired}", stdin=names)

    # -- the commit-graph ---------------------------------------------------------------------------------------------

    def _commit_graph(self) -> str:
        self._write_graph("--split")
        self._note_graph(self._repacking.all())
        return "written"

    def _write_graph(self, split: str) -> None:
        self._repacking.git("commit-graph", "write", "--reachable", "--changed-paths", "--no-progress", split)
        failpoints.hit("maintain.after_graph")

    def _note_graph(self, packs: Sequence[PackFiles]) -> None:
        self._stamps.write(graph_objects=float(sum(each.objects for each in packs)))
