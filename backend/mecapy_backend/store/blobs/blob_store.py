"""Bytes, named by their BLAKE3 digest inside their owner's own space. Knows no task and opens no
pickle.

`open_store` picks `FileStore` (`files`) or `S3Store` (`s3`); which blobs exist for the gateway
stands in the table (`blob_rows`).
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

CHUNK_BYTES = 1 << 20
_NAME = re.compile(r"[0-9a-f]{32}")
_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,127}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class BadName(ValueError):
    """An owner or digest that is none; it never touches a path."""


class WrongDigest(ValueError):
    """The bytes are not those the digest names; nothing was kept."""


class TooLong(ValueError):
    """More bytes than one blob may have; nothing was kept."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where clients of the same machine and user leave bytes for us, and where they find ours
    (`blobs`/first two digits/digest).
    """

    incoming: Path
    blobs: Path


@dataclass(frozen=True, slots=True)
class Parts:
    """A multipart upload that has begun: PUT each `part_bytes` of the blob to the next of the
    presigned `urls`, within `valid_s`.
    """

    upload: str
    part_bytes: int
    urls: list[str]
    valid_s: int


@dataclass(frozen=True, slots=True)
class Listed:
    """A blob as a listing of the store shows it; `modified_at` in seconds since 1970."""

    owner: str
    digest: str
    size: int
    modified_at: float


Within = Callable[[str, int], AbstractAsyncContextManager[None]]
"""Entered with digest and size around the moment in which checked bytes become a blob; see
`blob_rows.storing`.
"""


@asynccontextmanager
async def alone(digest: str, size: int) -> AsyncGenerator[None]:
    """Nobody else is told."""
    yield


class BlobStore(Protocol):
    """What gateway and worker ask of a store. A blob that is not there raises FileNotFoundError."""

    direct_uploads: bool
    """Clients put bytes there without the gateway, so a blob may be stored that its table does not
    know yet.
    """

    async def has(self, owner: str, digest: str) -> bool: ...
    async def size(self, owner: str, digest: str) -> int | None: ...
    async def write(
        self, owner: str, digest: str, chunks: AsyncIterator[bytes], within: Within = ...
    ) -> int:
        """Store a stream; its size. WrongDigest, or whatever the stream raises, leaves nothing
        behind.
        """
        ...

    def read(self, owner: str, digest: str) -> AsyncIterator[bytes]: ...
    async def open(self, owner: str, digest: str) -> int:
        """A read-only file descriptor on the bytes; the caller closes it."""
        ...

    async def adopt(self, owner: str, path: Path, within: Within = ...) -> tuple[str, int]:
        """Take over a finished file: (digest, size). Whoever wrote it must be dead, or it could
        change afterwards.
        """
        ...

    async def delete(self, owner: str, digest: str) -> None: ...
    async def tidy(self, older_s: float) -> None:
        """Remove what broken uploads have left, if it is older than this."""
        ...

    async def listed(self, limit: int) -> list[Listed]:
        """The next so many blobs that are in the store, in rounds without end."""
        ...

    async def upload_url(self, owner: str, digest: str, size: int) -> str | None:
        """A presigned URL to PUT the bytes to; None: through the gateway."""
        ...

    async def begin_parts(self, owner: str, digest: str, size: int) -> Parts | None:
        """The same for a large blob in parts, several at a time; None: not here."""
        ...

    async def part_urls(
        self, owner: str, digest: str, size: int, upload: str, first: int
    ) -> Parts | None:
        """Fresh URLs for an upload that takes longer than they are valid: for its parts from the
        `first` on, counted from 0.
        """
        ...

    async def end_parts(self, owner: str, digest: str, upload: str, etags: list[str]) -> bool:
        """All parts are there: `etags` are the store's answers to them, in order. False: no such
        upload, or these are not its parts.
        """
        ...

    async def abort_parts(self, owner: str, digest: str, upload: str) -> None:
        """Forget the upload and its parts."""
        ...

    async def download_url(self, owner: str, digest: str) -> str | None: ...
    async def place(self, owner: str) -> Place | None:
        """For clients that share a disk with us; None: this store is none."""
        ...

    async def take(
        self, owner: str, name: str, max_bytes: int, within: Within = ...
    ) -> tuple[str, int]:
        """Take over a file that a client left in `place`: (digest, size). FileNotFoundError, or
        TooLong and nothing is kept.
        """
        ...


def open_store(
    url: str, *, endpoint_url: str = "", cache_dir: str = "", cache_bytes: int = 20 * 10**9
) -> BlobStore:
    """`file:///directory` or `s3://bucket/prefix`. ValueError for anything else."""
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.path.startswith("/") and not parts.netloc:
        from mecapy_backend.store.blobs.file_store import FileStore

        store = FileStore(Path(unquote(parts.path)))
        store.recover()
        return store
    if parts.scheme == "s3" and parts.netloc:
        from mecapy_backend.store.blobs.file_store import FileStore
        from mecapy_backend.store.blobs.s3_store import S3Store

        cache = Path(cache_dir or Path(tempfile.gettempdir()) / f"mecapy-blobs-{os.getuid()}")
        local = FileStore(cache)
        local.recover()
        return S3Store(parts.netloc, parts.path.strip("/"), endpoint_url, local, cache_bytes)
    raise ValueError(
        f"MECAPY_BLOB_URL must be file:///directory or s3://bucket/prefix, not {url!r}"
    )


def relative(owner: str, digest: str) -> str:
    """Where a blob stands below the root of any store. BadName for what is no owner or digest."""
    if not _OWNER.fullmatch(owner) or not _DIGEST.fullmatch(digest):
        raise BadName("a blob's digest is 64 hexadecimal digits (BLAKE3), in lower case")
    return f"{owner}/{digest[:2]}/{digest}"


def split(below: str) -> tuple[str, str] | None:
    """Owner and digest of what `relative` made; None for any other name."""
    owner, _, rest = below.partition("/")
    digest = rest[3:]
    return (
        (owner, digest)
        if _OWNER.fullmatch(owner)
        and _DIGEST.fullmatch(digest)
        and rest == f"{digest[:2]}/{digest}"
        else None
    )


def plain_name(name: str) -> str:
    """The name of a file left in `Place.incoming`. BadName for what could lead elsewhere."""
    if not _NAME.fullmatch(name):
        raise BadName("a file's name is 32 hexadecimal digits, in lower case")
    return name


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
