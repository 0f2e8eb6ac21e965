"""The object store as a directory: immutable files named by digest.

Bytes from a connection are hashed as they arrive (`PartialFile`). A file that is already on this
disk, from a client of the same user or a dead child, is hashed in place and renamed: nothing is
copied, and no digest is trusted unchecked.

Killing any process loses no blob, and nobody gets other bytes than the digest names. Bytes from a
connection are on disk before the answer. Renamed files are written in the background, so a power
cut may lose blobs of the last seconds; `recover` removes these at the next start. S3 uses this as
its cache.
"""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

from mecapy_backend.store.blobs.blob_types import (
    CHUNK_BYTES,
    BlobStore,
    RowLock,
    StoredBlob,
    blob_key,
    checked_file_name,
    no_lock,
    parse_blob_key,
)
from mecapy_backend.store.blobs.disk_sync import to_disk
from mecapy_backend.store.blobs.listing import ListingRounds
from mecapy_backend.store.blobs.partial_file import PartialFile, examine, received, rename
from mecapy_jupyter.shared.processes import boot_id
from mecapy_jupyter.wire import StoreFolders

_WRITTEN_OUT_S = 600.0  # far more than the kernel takes to write a file out


class FileStore(BlobStore):
    """A directory on a local disk, shared by all components of one machine."""

    direct_uploads = False

    def __init__(self, root: Path) -> None:
        self.root = root
        self._rounds = ListingRounds(self._all)
        self._syncing: dict[Path, asyncio.Future[None]] = {}

    def recover(self) -> list[str]:
        """After a restart of the machine: removes half-written blobs, and returns them. Otherwise
        does nothing.
        """
        start, seen = boot_id(), self.root / ".boot"
        if not start or (seen.exists() and seen.read_text() == start):
            return []
        blobs = list(self._all()) if seen.exists() else []
        last = max((blob.modified_at for blob in blobs), default=0.0)
        young = [
            self.path(blob.owner, blob.digest)
            for blob in blobs
            if blob.modified_at > last - _WRITTEN_OUT_S
        ]
        bad = [path for path in young if not _whole(path)]
        for path in bad:
            path.unlink(missing_ok=True)
        self._device()
        seen.write_text(start)
        return [path.name for path in bad]

    def path(self, owner: str, digest: str) -> Path:
        return self.root / blob_key(owner, digest)

    async def size(self, owner: str, digest: str) -> int | None:
        try:
            return (await asyncio.to_thread(self.path(owner, digest).stat)).st_size
        except FileNotFoundError:
            return None

    async def write(
        self, owner: str, digest: str, chunks: AsyncIterator[bytes], row_lock: RowLock = no_lock
    ) -> int:
        target = self.path(owner, digest)
        async with received(self.root, digest, chunks) as (path, size):
            async with row_lock(digest, size):
                await asyncio.to_thread(rename, path, target)
            return size

    async def read(self, owner: str, digest: str) -> AsyncIterator[bytes]:
        fd = await self.open(owner, digest)
        try:
            while block := await asyncio.to_thread(os.read, fd, CHUNK_BYTES):
                yield block
        finally:
            os.close(fd)

    async def open(self, owner: str, digest: str) -> int:
        return await asyncio.to_thread(
            os.open, self.path(owner, digest), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        )

    async def adopt(self, owner: str, path: Path, row_lock: RowLock = no_lock) -> tuple[str, int]:
        digest, size, owned = await asyncio.to_thread(examine, path, own=True)
        return await self._keep(owner, path, digest, size, owned, row_lock)

    async def _keep(
        self, owner: str, path: Path, digest: str, size: int, ours: bool, row_lock: RowLock
    ) -> tuple[str, int]:
        target = self.path(owner, digest)
        partial = await asyncio.to_thread(self._own, path, digest, ours)
        try:
            async with row_lock(digest, size):
                await asyncio.to_thread(
                    rename, partial.path if isinstance(partial, PartialFile) else partial, target
                )
        finally:
            if isinstance(partial, PartialFile):
                await asyncio.to_thread(partial.discard)
        self._to_disk(target)
        return digest, size

    def _own(self, path: Path, digest: str, ours: bool) -> Path | PartialFile:
        """The file itself, ready to be renamed; or a copy, where others could change it or it lies
        on another disk.
        """
        if ours and path.stat().st_dev == self._device():
            path.chmod(0o400)
            return path
        partial = PartialFile(self.root)
        try:
            with path.open("rb") as source:
                while block := source.read(CHUNK_BYTES):
                    partial.write(block)
            partial.check(digest)
        except BaseException:
            partial.discard()
            raise
        return partial

    def keep_if_same_disk(self, path: Path, target: Path) -> None:
        """A file of ours that was examined, moved here if that costs nothing."""
        if path.stat().st_dev == self._device():
            path.chmod(0o400)
            rename(path, target)

    def _device(self) -> int:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self.root.stat().st_dev

    def _to_disk(self, path: Path) -> None:
        """Writes it to the disk in the background, so that no task waits. Until then a power cut
        may lose the blob.
        """
        if self._syncing.get(path) is None:
            self._syncing[path] = writing = asyncio.ensure_future(asyncio.to_thread(_sync, path))
            writing.add_done_callback(lambda _: self._syncing.pop(path, None))

    async def place(self, owner: str) -> StoreFolders | None:
        incoming = await asyncio.to_thread(self._incoming, owner)
        return StoreFolders(str(incoming), str(self.path(owner, "0" * 64).parent.parent))

    def _incoming(self, owner: str) -> Path:
        every = self.root / ".incoming"
        every.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Named by chance, once for each store: a client of another machine cannot take a folder of
        # its own for ours.
        store = min(every.iterdir(), default=None) or every / uuid.uuid4().hex
        incoming = store / owner
        incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
        return incoming

    async def take(
        self, owner: str, name: str, max_bytes: int, row_lock: RowLock = no_lock
    ) -> tuple[str, int]:
        path = await asyncio.to_thread(self._incoming, owner) / checked_file_name(name)
        try:
            digest, size, owned = await asyncio.to_thread(examine, path, max_bytes)
            return await self._keep(owner, path, digest, size, owned, row_lock)
        finally:
            with suppress(OSError):  # a folder, which its owner removes
                await asyncio.to_thread(path.unlink, True)

    async def delete(self, owner: str, digest: str) -> None:
        await asyncio.to_thread(self.path(owner, digest).unlink, True)

    async def tidy(self, older_s: float) -> None:
        await asyncio.to_thread(self._tidy, time.time() - older_s)

    def _tidy(self, before: float) -> None:
        for path in (*self.root.glob(".partial/*"), *self.root.glob(".incoming/*/*/*")):
            with suppress(OSError):  # its owner removes it at the same time
                if path.lstat().st_mtime < before:
                    path.unlink()

    async def listed(self, limit: int) -> list[StoredBlob]:
        return await asyncio.to_thread(self._rounds.next, limit)

    def _all(self) -> Iterator[StoredBlob]:
        for path in self.root.glob("*/??/*"):
            if named := parse_blob_key(path.relative_to(self.root).as_posix()):
                with suppress(FileNotFoundError):  # deleted meanwhile
                    status = path.stat()
                    yield StoredBlob(*named, status.st_size, status.st_mtime)


def _whole(path: Path) -> bool:
    """Whether its bytes fit its name. True if it is gone: another process recovered it."""
    try:
        return examine(path)[0] == path.name
    except FileNotFoundError:
        return True


def _sync(path: Path) -> None:
    with suppress(FileNotFoundError):  # deleted meanwhile
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            to_disk(fd)
        finally:
            os.close(fd)
