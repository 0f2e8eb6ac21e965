"""The object store as a directory: blobs are files that nobody changes once they have their name.

Bytes that come over a connection are hashed as they grow (`Partial`). A file that is already on this disk, left by a client of
the same user or by a dead child, is hashed where it lies and renamed: nothing is copied, and no digest is believed unchecked.
Made by `blobs.open_store`; S3 uses it as its cache.
"""

from __future__ import annotations

import asyncio
import os
import stat
import tempfile
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

from blake3 import blake3

from .blobs import CHUNK_BYTES, Place, TooLong, Within, WrongDigest, alone, blocks, plain_name, relative


class FileStore:
    """A directory on a local disk, shared by all components of one machine."""

    direct_uploads = False

    def __init__(self, root: Path) -> None:
        self.root = root
        self._syncing: dict[Path, asyncio.Future[None]] = {}

    def path(self, owner: str, digest: str) -> Path:
        return self.root / relative(owner, digest)

    async def has(self, owner: str, digest: str) -> bool:
        return await self.size(owner, digest) is not None

    async def size(self, owner: str, digest: str) -> int | None:
        try:
            return (await asyncio.to_thread(self.path(owner, digest).stat)).st_size
        except FileNotFoundError:
            return None

    async def write(self, owner: str, digest: str, chunks: AsyncIterator[bytes], within: Within = alone) -> int:
        target = self.path(owner, digest)
        partial = await asyncio.to_thread(Partial, self.root)
        try:
            async for block in blocks(chunks):
                await asyncio.to_thread(partial.write, block)
            size = await asyncio.to_thread(partial.check, digest)
            async with within(digest, size):
                await asyncio.to_thread(_rename, partial.path, target)
            return size
        finally:
            await asyncio.to_thread(partial.discard)

    async def read(self, owner: str, digest: str) -> AsyncIterator[bytes]:
        fd = await self.open(owner, digest)
        try:
            while block := await asyncio.to_thread(os.read, fd, CHUNK_BYTES):
                yield block
        finally:
            os.close(fd)

    async def open(self, owner: str, digest: str) -> int:
        return await asyncio.to_thread(os.open, self.path(owner, digest), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)

    async def adopt(self, owner: str, path: Path, within: Within = alone) -> tuple[str, int]:
        digest, size, ours = await asyncio.to_thread(examine, path, own=True)
        return await self._keep(owner, path, digest, size, ours, within)

    async def _keep(self, owner: str, path: Path, digest: str, size: int, ours: bool, within: Within) -> tuple[str, int]:
        target = self.path(owner, digest)
        partial = await asyncio.to_thread(self._own, path, digest, ours)
        try:
            async with within(digest, size):
                await asyncio.to_thread(_rename, partial.path if isinstance(partial, Partial) else partial, target)
        finally:
            if isinstance(partial, Partial):
                await asyncio.to_thread(partial.discard)
        self._to_disk(target)
        return digest, size

    def _own(self, path: Path, digest: str, ours: bool) -> Path | Partial:
        """The file itself, ready to be renamed; or a copy, where others could change it or it lies on another disk."""
        if ours and path.stat().st_dev == self._device():
            path.chmod(0o400)
            return path
        partial = Partial(self.root)
        try:
            with path.open("rb") as source:
                while block := source.read(CHUNK_BYTES):
                    partial.write(block)
            partial.check(digest)
        except BaseException:
            partial.discard()
            raise
        return partial

    def _device(self) -> int:
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        return self.root.stat().st_dev

    def _to_disk(self, path: Path) -> None:
        """Write it out beside the work: a task does not wait for the disk. Until then a power cut may cost the blob."""
        if self._syncing.get(path) is None:
            self._syncing[path] = writing = asyncio.ensure_future(asyncio.to_thread(_sync, path))
            writing.add_done_callback(lambda _: self._syncing.pop(path, None))

    async def place(self, owner: str) -> Place | None:
        return await asyncio.to_thread(self._place, owner)

    def _place(self, owner: str) -> Place:
        blobs = self.path(owner, "0" * 64).parent.parent
        every = self.root / ".incoming"
        every.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Named by chance, once for each store: a client of another machine cannot take a folder of its own for ours.
        store = min(every.iterdir(), default=None) or every / uuid.uuid4().hex
        incoming = store / owner
        incoming.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Place(incoming, blobs)

    async def take(self, owner: str, name: str, max_bytes: int, within: Within = alone) -> tuple[str, int]:
        path = (await asyncio.to_thread(self._place, owner)).incoming / plain_name(name)
        try:
            digest, size, ours = await asyncio.to_thread(examine, path, max_bytes)
            return await self._keep(owner, path, digest, size, ours, within)
        finally:
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

    async def upload_url(self, owner: str, digest: str, size: int) -> str | None:
        return None

    async def download_url(self, owner: str, digest: str) -> str | None:
        return None


class Partial:
    """A file on its way into a directory: hashed as it grows, kept under its name only if the digest is right."""

    def __init__(self, root: Path) -> None:
        folder = root / ".partial"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd, name = tempfile.mkstemp(dir=folder)
        self.path, self._file, self._hash, self._size = Path(name), os.fdopen(fd, "wb", buffering=0), blake3(), 0

    def write(self, block: bytes) -> None:
        self._hash.update(block)
        view = memoryview(block)
        while view:
            view = view[self._file.write(view) :]
        self._size += len(block)

    def check(self, digest: str) -> int:
        """On disk, and what the digest says; its size. WrongDigest else."""
        if (found := self._hash.hexdigest()) != digest:
            raise WrongDigest(f"these bytes have the BLAKE3 digest {found}")
        os.fdatasync(self._file.fileno())
        os.fchmod(self._file.fileno(), 0o400)
        return self._size

    def take(self, written: Path, target: Path) -> None:
        """Keep what somebody else wrote to our path, perhaps as a new file. WrongDigest if it is not what `target` names."""
        digest, _, _ = examine(written)
        if digest != target.name:
            raise WrongDigest(f"these bytes have the BLAKE3 digest {digest}")
        written.chmod(0o400)
        _rename(written, target)

    def discard(self) -> None:
        """Close; remove what was not kept."""
        self._file.close()
        self.path.unlink(missing_ok=True)


def _rename(path: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.rename(target)


def examine(path: Path, max_bytes: int | None = None, *, own: bool = False) -> tuple[str, int, bool]:
    """Digest and size of a regular file, and whether it is ours alone, so that moving it is safe. Follows no link.

    `own`: make it ours, where we may: its writer was a user of its own and is dead.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{path.name} is not a regular file")
        if max_bytes is not None and status.st_size > max_bytes:
            raise TooLong(f"{status.st_size} bytes")
        if own and status.st_nlink == 1 and status.st_uid != os.geteuid():
            with suppress(PermissionError):
                os.fchown(fd, os.geteuid(), os.getegid())
                status = os.fstat(fd)
        digest = blake3(max_threads=blake3.AUTO).update_mmap(f"/dev/fd/{fd}")
        return digest.hexdigest(), status.st_size, status.st_nlink == 1 and status.st_uid == os.geteuid()
    finally:
        os.close(fd)


def _sync(path: Path) -> None:
    with suppress(FileNotFoundError):  # deleted meanwhile
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fdatasync(fd)
        finally:
            os.close(fd)
