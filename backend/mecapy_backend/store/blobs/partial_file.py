"""A file on its way into a directory of blobs: hashed as it grows or where it lies, and kept only
under the digest it has.
"""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from blake3 import blake3

from mecapy_backend.store.blobs.blob_types import CHUNK_BYTES, NotAFile, TooLong, WrongDigest
from mecapy_backend.store.blobs.disk_sync import to_disk


class PartialFile:
    """A file on its way into a directory: hashed as it grows, kept under its name only if the
    digest is right.
    """

    def __init__(self, root: Path) -> None:
        folder = root / ".partial"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd, name = tempfile.mkstemp(dir=folder)
        self.path = Path(name)
        self._file = os.fdopen(fd, "wb", buffering=0)
        self._hash, self._size = blake3(), 0

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
        to_disk(self._file.fileno())
        os.fchmod(self._file.fileno(), 0o400)
        return self._size

    def take(self, written: Path, target: Path) -> None:
        """Keep what somebody else wrote to our path, perhaps as a new file. WrongDigest if it is
        not what `target` names.
        """
        digest, _, _ = examine(written)
        if digest != target.name:
            raise WrongDigest(f"these bytes have the BLAKE3 digest {digest}")
        written.chmod(0o400)
        rename(written, target)

    def discard(self) -> None:
        """Close; remove what was not kept."""
        self._file.close()
        self.path.unlink(missing_ok=True)


@asynccontextmanager
async def received(
    root: Path, digest: str, chunks: AsyncIterator[bytes]
) -> AsyncGenerator[tuple[Path, int]]:
    """The stream as a checked file, and its size. The file is removed at the end, unless it was
    renamed.
    """
    partial = await asyncio.to_thread(PartialFile, root)
    try:
        async for block in _join_chunks(chunks):
            await asyncio.to_thread(partial.write, block)
        yield partial.path, await asyncio.to_thread(partial.check, digest)
    finally:
        await asyncio.to_thread(partial.discard)


async def _join_chunks(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in pieces that are large enough for a thread."""
    gathered, size = list[bytes](), 0
    async for chunk in chunks:
        gathered.append(chunk)
        size += len(chunk)
        if size >= CHUNK_BYTES:
            yield b"".join(gathered)
            gathered, size = [], 0
    if gathered:
        yield b"".join(gathered)


def rename(path: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.rename(target)


def examine(
    path: Path, max_bytes: int | None = None, *, own: bool = False
) -> tuple[str, int, bool]:
    """Digest and size of a regular file, and whether it is ours alone, so that moving it is safe.
    Follows no link.

    `own`: make it ours, where we may: its writer was a user of its own and is dead.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as refused:
        if refused.errno in (errno.ELOOP, errno.EMLINK, errno.ENXIO):  # a link, a socket
            raise NotAFile(f"{path.name} is no regular file") from None
        raise
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise NotAFile(f"{path.name} is no regular file")
        if max_bytes is not None and status.st_size > max_bytes:
            raise TooLong(f"{status.st_size} bytes")
        if own and status.st_nlink == 1 and status.st_uid != os.geteuid():
            with suppress(PermissionError):
                os.fchown(fd, os.geteuid(), os.getegid())
                status = os.fstat(fd)
        digest = blake3(max_threads=blake3.AUTO).update_mmap(f"/dev/fd/{fd}").hexdigest()
        ours = status.st_nlink == 1 and status.st_uid == os.geteuid()
        return digest, status.st_size, ours
    finally:
        os.close(fd)
