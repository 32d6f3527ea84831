"""Writing objects: each as a loose file when they are few, one pack when they are many.

Durable: the files and the folders that name them are synced before the call returns. An object that lies there loose
already is checked, freshened and synced, because whoever wrote it may not have synced it, and may have written it torn.
A new object is written even if a pack holds it: a pack can be dropped between now and the swap of the ref.
"""

from __future__ import annotations

import os
import secrets
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from gitctx import failpoints
from gitctx.format.objects import Object, loose_bytes, pack_bytes
from gitctx.repository.refs import sync_folder, write_all

PACK_FROM = 24
"""From this many objects on, one pack is cheaper than loose files."""


@contextmanager
def written(objects_dir: Path, objects: Sequence[Object], *, durable: bool) -> Iterator[Callable[[], None]]:
    """Put objects down for the time of the block, at the end of which something must reach them.

    The pack is kept from repacking until the block ends. Loose files can't be kept: a geometric repack takes them into
    a pack although nothing reaches them yet, and a full repack drops them from there. The block gets a function that
    writes again what is gone. Raises OSError if one can't be written.
    """
    failpoints.hit("objects.before_write")
    keep: Path | None = None
    if len(objects) >= PACK_FROM:
        keep = _write_pack(objects_dir, objects, durable=durable)
    else:
        _write_loose(objects_dir, objects, durable=durable)
    failpoints.hit("objects.after_write")

    def write_again() -> None:
        if keep is None:
            gone = [item for item in objects if not os.path.exists(objects_dir / item.oid[:2] / item.oid[2:])]
            _write_loose(objects_dir, gone, durable=durable)

    try:
        yield write_again
    finally:
        if keep is not None:
            _unlink(keep)


def _write_loose(objects_dir: Path, objects: Sequence[Object], *, durable: bool) -> None:
    folders: dict[Path, None] = {}
    for item in objects:
        folder = objects_dir / item.oid[:2]
        target = folder / item.oid[2:]
        if not _reuse_loose(target, item, durable=durable):
            while True:
                try:
                    _put_file(target, loose_bytes(item), durable=durable)
                    break
                except FileNotFoundError:
                    folder.mkdir(exist_ok=True)
                    folders[objects_dir] = None
        folders[folder] = None
    if durable:
        for folder in folders:
            # A folder that is gone was emptied by a repack, and git syncs its packs (core.fsync=committed).
            with suppress(FileNotFoundError):
                sync_folder(folder)


def _reuse_loose(target: Path, item: Object, *, durable: bool) -> bool:
    """Whether the object lies there intact; a torn file is removed."""
    try:
        descriptor = os.open(target, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        if not _intact(descriptor, item):
            target.unlink(missing_ok=True)
            return False
        with suppress(PermissionError):
            os.utime(descriptor)
        if durable:
            os.fsync(descriptor)
        return True
    finally:
        os.close(descriptor)


def _intact(descriptor: int, item: Object) -> bool:
    chunks = []
    while chunk := os.read(descriptor, 1 << 20):
        chunks.append(chunk)
    try:
        return zlib.decompress(b"".join(chunks)) == b"%s %d\0%s" % (item.kind.encode(), len(item.data), item.data)
    except zlib.error:
        return False


def _put_file(target: Path, data: bytes, *, durable: bool, prefix: str = "tmp_obj_") -> None:
    temporary = target.with_name(prefix + secrets.token_hex(8))
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o444)
    try:
        write_all(descriptor, data)
        if durable:
            os.fsync(descriptor)
        os.rename(temporary, target)
    except BaseException:
        _unlink(temporary)
        raise
    finally:
        os.close(descriptor)


def _write_pack(objects_dir: Path, objects: Sequence[Object], *, durable: bool) -> Path:
    """Write one pack with its index; the path of its `.keep`."""
    folder = objects_dir / "pack"
    folder.mkdir(exist_ok=True)
    pack, index, name = pack_bytes(objects)
    base = folder / f"pack-{name}"
    keep = base.with_suffix(".keep")
    failpoints.hit("pack.before_keep")
    _put_keep(keep)
    try:
        _put_file(base.with_suffix(".pack"), pack, durable=durable, prefix="tmp_pack_")
        failpoints.hit("pack.before_index")
        _put_file(base.with_suffix(".idx"), index, durable=durable, prefix="tmp_idx_")
        failpoints.hit("pack.after_index")
        _drop_torn_twins(objects_dir, objects)
        if durable:
            sync_folder(folder)
    except BaseException:
        keep.unlink(missing_ok=True)
        raise
    return keep


def _drop_torn_twins(objects_dir: Path, objects: Sequence[Object]) -> None:
    """Remove torn loose files of objects that the pack has whole: git would go on complaining about them."""
    for item in objects:
        target = objects_dir / item.oid[:2] / item.oid[2:]
        try:
            descriptor = os.open(target, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            if not _intact(descriptor, item):
                target.unlink(missing_ok=True)
        finally:
            os.close(descriptor)


def _put_keep(path: Path) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        write_all(descriptor, b"gitctx\n")
    finally:
        os.close(descriptor)


def clear_stale_keeps(objects_dir: Path, older_than_s: float) -> None:
    """Remove `.keep` files that killed writers left. Only for the holder of the writer queue. `older_than_s` is a
    time stamp.
    """
    try:
        keeps = list((objects_dir / "pack").glob("pack-*.keep"))
    except OSError:
        return
    for keep in keeps:
        try:
            if keep.stat().st_mtime < older_than_s and keep.read_bytes() == b"gitctx\n":
                keep.unlink()
        except OSError:
            continue


def _unlink(path: Path) -> None:
    try:
        os.unlink(path)
    except OSError:
        return
