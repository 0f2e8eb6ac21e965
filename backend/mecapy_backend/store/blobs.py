"""Bytes, named by their BLAKE3 digest inside their owner's own space. Knows no task and opens no pickle.

Used by `routes.blobs` and by the worker. `open_store` picks `FileStore` (here) or `S3Store` (`s3`); which blobs exist for
the gateway stands in the table (`blob_rows`).
"""

from __future__ import annotations

import asyncio
import os
import re
import stat
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from blake3 import blake3

CHUNK_BYTES = 1 << 20
_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,127}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class BadName(ValueError):
    """An owner or digest that is none; it never touches a path."""


class WrongDigest(ValueError):
    """The bytes are not those the digest names; nothing was kept."""


class BlobStore(Protocol):
    """What gateway and worker ask of a store. A blob that is not there raises FileNotFoundError."""

    direct_uploads: bool
    """Clients put bytes there without the gateway, so a blob may be stored that its table does not know yet."""

    async def has(self, owner: str, digest: str) -> bool: ...
    async def size(self, owner: str, digest: str) -> int | None: ...
    async def write(self, owner: str, digest: str, chunks: AsyncIterator[bytes]) -> int:
        """Store a stream; its size. WrongDigest, or whatever the stream raises, leaves nothing behind."""
        ...

    def read(self, owner: str, digest: str) -> AsyncIterator[bytes]: ...
    async def open(self, owner: str, digest: str) -> int:
        """A read-only file descriptor on the bytes; the caller closes it."""
        ...

    async def adopt(self, owner: str, path: Path) -> tuple[str, int]:
        """Take over a finished file: (digest, size). Whoever wrote it must be dead, or it could change afterwards."""
        ...

    async def delete(self, owner: str, digest: str) -> None: ...
    async def upload_url(self, owner: str, digest: str, size: int) -> str | None:
        """A presigned URL to PUT the bytes to; None: through the gateway."""
        ...

    async def download_url(self, owner: str, digest: str) -> str | None: ...


def open_store(url: str, *, endpoint_url: str = "", cache_dir: str = "", cache_bytes: int = 20 * 10**9) -> BlobStore:
    """`file:///directory` or `s3://bucket/prefix`. ValueError for anything else."""
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.path.startswith("/") and not parts.netloc:
        return FileStore(Path(unquote(parts.path)))
    if parts.scheme == "s3" and parts.netloc:
        from .s3 import S3Store

        cache = Path(cache_dir or Path(tempfile.gettempdir()) / f"mecapy-blobs-{os.getuid()}")
        return S3Store(parts.netloc, parts.path.strip("/"), endpoint_url, FileStore(cache), cache_bytes)
    raise ValueError(f"MECAPY_BLOB_URL must be file:///directory or s3://bucket/prefix, not {url!r}")


def relative(owner: str, digest: str) -> str:
    """Where a blob stands below the root of any store. BadName for what is no owner or digest."""
    if not _OWNER.fullmatch(owner) or not _DIGEST.fullmatch(digest):
        raise BadName("a blob's digest is 64 hexadecimal digits (BLAKE3), in lower case")
    return f"{owner}/{digest[:2]}/{digest}"


class FileStore:
    """A directory on a local disk, shared by all components of one machine."""

    direct_uploads = False

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, owner: str, digest: str) -> Path:
        return self.root / relative(owner, digest)

    async def has(self, owner: str, digest: str) -> bool:
        return await self.size(owner, digest) is not None

    async def size(self, owner: str, digest: str) -> int | None:
        try:
            return (await asyncio.to_thread(self.path(owner, digest).stat)).st_size
        except FileNotFoundError:
            return None

    async def write(self, owner: str, digest: str, chunks: AsyncIterator[bytes]) -> int:
        target = self.path(owner, digest)
        partial = await asyncio.to_thread(Partial, self.root)
        try:
            async for block in blocks(chunks):
                await asyncio.to_thread(partial.write, block)
            return await asyncio.to_thread(partial.keep, target)
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

    async def adopt(self, owner: str, path: Path) -> tuple[str, int]:
        return await asyncio.to_thread(self._adopt, owner, path)

    def _adopt(self, owner: str, path: Path) -> tuple[str, int]:
        digest, size, ours = examine(path)
        target = self.path(owner, digest)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if ours:
            with suppress(OSError):  # another file system: copied below
                path.chmod(0o400)
                path.rename(target)
                return digest, size
        partial = Partial(self.root)
        try:
            with path.open("rb") as source:
                while block := source.read(CHUNK_BYTES):
                    partial.write(block)
            return digest, partial.keep(target)
        finally:
            partial.discard()

    async def delete(self, owner: str, digest: str) -> None:
        await asyncio.to_thread(self.path(owner, digest).unlink, True)

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

    def keep(self, target: Path) -> int:
        size = self.check(target.name)
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path.rename(target)
        return size

    def discard(self) -> None:
        """Close; remove what was not kept."""
        self._file.close()
        self.path.unlink(missing_ok=True)


def examine(path: Path) -> tuple[str, int, bool]:
    """Digest and size of a regular file, and whether it is ours alone, so that moving it is safe. Follows no link."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(fd, "rb", buffering=0) as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{path.name} is not a regular file")
        digest = blake3()
        while block := file.read(CHUNK_BYTES):
            digest.update(block)
        os.fdatasync(fd)
        return digest.hexdigest(), status.st_size, status.st_nlink == 1 and status.st_uid == os.geteuid()


async def blocks(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The same bytes in pieces worth a trip to a thread."""
    gathered, size = list[bytes](), 0
    async for chunk in chunks:
        gathered.append(chunk)
        size += len(chunk)
        if size >= CHUNK_BYTES:
            yield b"".join(gathered)
            gathered, size = [], 0
    if gathered:
        yield b"".join(gathered)
