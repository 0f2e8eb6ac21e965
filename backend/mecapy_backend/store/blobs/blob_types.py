"""What every object store has in common: what it is asked, and the errors, shapes and
names of blobs. Knows no one store, no task and no table.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mecapy_jupyter.wire import PartUrls, StoreFolders

CHUNK_BYTES = 1 << 20
_NAME = re.compile(r"[0-9a-f]{32}")
_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,127}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_UPLOAD = re.compile(r"[!-~]{1,1000}")
_PARTS = "parts "


class BadName(ValueError):
    """An owner or digest that is malformed; it never touches a path."""


class WrongDigest(ValueError):
    """The bytes are not those the digest names; nothing was kept."""


class NotAFile(ValueError):
    """What a client left is a link, a pipe or a folder instead of a regular file."""


class ObjectStoreError(OSError):
    """The object store refused to read or write; `causes` explains why."""


class TooLong(ValueError):
    """More bytes than one blob may have; nothing was kept."""


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A blob as a listing of the store shows it; `modified_at` in seconds since 1970."""

    owner: str
    digest: str
    size: int
    modified_at: float


RowLock = Callable[[str, int], AbstractAsyncContextManager[None]]
"""Entered with digest and size around the moment in which checked bytes become a blob; see
`blob_rows.row_lock`.
"""


@asynccontextmanager
async def no_lock(digest: str, size: int) -> AsyncGenerator[None]:
    """Notifies nobody else."""
    yield


class BlobStore(Protocol):
    """What gateway and worker need from a store. A missing blob raises FileNotFoundError.

    Uploads in parts, URLs and a folder for clients are what only some stores have: here they are
    answered as by a store without them.
    """

    direct_uploads: bool
    """Clients upload without the gateway, so a blob may be stored that the table does not have yet.
    """

    async def has(self, owner: str, digest: str) -> bool:
        return await self.size(owner, digest) is not None

    async def size(self, owner: str, digest: str) -> int | None: ...
    async def write(
        self, owner: str, digest: str, chunks: AsyncIterator[bytes], row_lock: RowLock = no_lock
    ) -> int:
        """Store a stream; its size. WrongDigest, or whatever the stream raises, leaves nothing
        behind.
        """
        ...

    def read(self, owner: str, digest: str) -> AsyncIterator[bytes]: ...
    async def open(self, owner: str, digest: str) -> int:
        """A read-only file descriptor on the bytes; the caller closes it."""
        ...

    async def adopt(self, owner: str, path: Path, row_lock: RowLock = no_lock) -> tuple[str, int]:
        """Takes over a finished file; returns (digest, size). Its writer must be dead, because it
        could change the file afterwards.
        """
        ...

    async def delete(self, owner: str, digest: str) -> None: ...
    async def tidy(self, older_s: float) -> None:
        """Removes what broken uploads older than this have left."""
        ...

    async def listed(self, limit: int) -> list[StoredBlob]:
        """The next `limit` blobs of the store, in endless rounds."""
        ...

    async def upload_url(self, owner: str, digest: str, size: int) -> str | None:
        """A presigned URL to PUT the bytes to; None: through the gateway."""
        return None

    async def begin_parts(self, owner: str, digest: str, size: int) -> PartUrls | None:
        """The same for a large blob in parts, several at a time; None: not here."""
        return None

    async def part_urls(
        self, owner: str, digest: str, size: int, upload: str, first: int
    ) -> PartUrls | None:
        """Fresh URLs for an upload that outlives its URLs: for its parts from `first` on, counted
        from 0.
        """
        return None

    async def end_parts(self, owner: str, digest: str, upload: str, etags: list[str]) -> bool:
        """All parts are there: `etags` are the store's answers to them, in order. False: no such
        upload, or these are not its parts.
        """
        return False

    async def abort_parts(self, owner: str, digest: str, upload: str) -> None:
        """Forget the upload and its parts."""
        return None

    async def download_url(self, owner: str, digest: str) -> str | None:
        return None

    async def place(self, owner: str) -> StoreFolders | None:
        """The folder for clients on this machine's disk; None: this store has none."""
        return None

    async def take(
        self, owner: str, name: str, max_bytes: int, row_lock: RowLock = no_lock
    ) -> tuple[str, int]:
        """Take over a file that a client left in `place`: (digest, size). FileNotFoundError, or
        TooLong and nothing is kept.
        """
        raise FileNotFoundError(name)


def blob_key(owner: str, digest: str) -> str:
    """The place of a blob below the root of any store. Raises BadName for a malformed owner or
    digest.
    """
    if not _OWNER.fullmatch(owner) or not _DIGEST.fullmatch(digest):
        raise BadName("a blob's digest is 64 hexadecimal digits (BLAKE3), in lower case")
    return f"{owner}/{digest[:2]}/{digest}"


def upload_key(digest: str, upload: str) -> str:
    """The name of an upload in parts, for its reservation. Raises BadName if it is malformed."""
    if not _DIGEST.fullmatch(digest) or not _UPLOAD.fullmatch(upload):
        raise BadName("an upload in parts is named by its blob's digest and the store's own id")
    return f"{_PARTS}{digest} {upload}"


def parse_upload_key(key: str) -> tuple[str, str] | None:
    """Digest and upload of what `upload_key` made; None for any other name."""
    digest, _, upload = key.removeprefix(_PARTS).partition(" ")
    return (digest, upload) if key.startswith(_PARTS) else None


def is_digest(name: str) -> bool:
    return bool(_DIGEST.fullmatch(name))


def parse_blob_key(below: str) -> tuple[str, str] | None:
    """Owner and digest of what `blob_key` made; None for any other name."""
    owner, _, rest = below.partition("/")
    digest = rest[3:]
    well_formed = _OWNER.fullmatch(owner) and _DIGEST.fullmatch(digest)
    return (owner, digest) if well_formed and rest == f"{digest[:2]}/{digest}" else None


def checked_file_name(name: str) -> str:
    """The name of a file left in `StoreFolders.incoming`. Raises BadName for a path that leads
    elsewhere.
    """
    if not _NAME.fullmatch(name):
        raise BadName("a file's name is 32 hexadecimal digits, in lower case")
    return name
