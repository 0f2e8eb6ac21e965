"""Bytes, named by their BLAKE3 digest inside their owner's own space. Knows no task and opens no
pickle.

`open_store` picks `FileStore` or `S3Store`; which blobs exist for the gateway stands in the table
(`blob_rows`).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from mecapy_backend.shared.settings import Settings
from mecapy_backend.store.blobs.blob_types import (
    MultipartUpload,
    RowLock,
    SharedFolders,
    StoredBlob,
)
from mecapy_backend.store.blobs.file_store import FileStore
from mecapy_jupyter.shared.errors import ConfigError


class BlobStore(Protocol):
    """What gateway and worker need from a store. A missing blob raises FileNotFoundError."""

    direct_uploads: bool
    """Clients upload without the gateway, so a blob may be stored that the table does not have yet.
    """

    async def has(self, owner: str, digest: str) -> bool: ...
    async def size(self, owner: str, digest: str) -> int | None: ...
    async def write(
        self, owner: str, digest: str, chunks: AsyncIterator[bytes], row_lock: RowLock = ...
    ) -> int:
        """Store a stream; its size. WrongDigest, or whatever the stream raises, leaves nothing
        behind.
        """
        ...

    def read(self, owner: str, digest: str) -> AsyncIterator[bytes]: ...
    async def open(self, owner: str, digest: str) -> int:
        """A read-only file descriptor on the bytes; the caller closes it."""
        ...

    async def adopt(self, owner: str, path: Path, row_lock: RowLock = ...) -> tuple[str, int]:
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
        ...

    async def begin_parts(self, owner: str, digest: str, size: int) -> MultipartUpload | None:
        """The same for a large blob in parts, several at a time; None: not here."""
        ...

    async def part_urls(
        self, owner: str, digest: str, size: int, upload: str, first: int
    ) -> MultipartUpload | None:
        """Fresh URLs for an upload that outlives its URLs: for its parts from `first` on, counted
        from 0.
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
    async def place(self, owner: str) -> SharedFolders | None:
        """The folder for clients on this machine's disk; None: this store has none."""
        ...

    async def take(
        self, owner: str, name: str, max_bytes: int, row_lock: RowLock = ...
    ) -> tuple[str, int]:
        """Take over a file that a client left in `place`: (digest, size). FileNotFoundError, or
        TooLong and nothing is kept.
        """
        ...


def configured(settings: Settings) -> BlobStore:
    """The store that gateway and worker use."""
    return open_store(
        settings.blob_url,
        endpoint_url=settings.s3_endpoint_url,
        region=settings.s3_region,
        cache_dir=settings.cache_dir,
        cache_bytes=settings.cache_bytes,
    )


def open_store(
    url: str,
    *,
    endpoint_url: str = "",
    region: str = "",
    cache_dir: str = "",
    cache_bytes: int = 20 * 10**9,
) -> BlobStore:
    """`file:///directory` or `s3://bucket/prefix`. ConfigError for anything else, and for a
    folder that cannot be used.
    """
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.path.startswith("/") and not parts.netloc:
        files = FileStore(Path(unquote(parts.path)))
        _recover(files, "MECAPY_BLOB_URL")
        return files
    if parts.scheme == "s3" and parts.netloc:
        # boto3 takes half a second to import, and only S3 needs it.
        from mecapy_backend.store.blobs.bucket import Bucket
        from mecapy_backend.store.blobs.s3_store import S3Store

        cache = Path(cache_dir or Path(tempfile.gettempdir()) / f"mecapy-blobs-{os.getuid()}")
        bucket = Bucket(parts.netloc, parts.path.strip("/"), endpoint_url, region)
        store = S3Store(bucket, FileStore(cache), cache_bytes)
        _recover(store.cache, "MECAPY_CACHE_DIR")
        return store
    raise ConfigError(
        f"MECAPY_BLOB_URL must be file:///directory or s3://bucket/prefix, not {url!r}"
    )


def _recover(store: FileStore, setting: str) -> None:
    try:
        store.recover()
    except OSError as error:
        raise ConfigError(
            f"{setting}: {error.filename or store.root} cannot be used ({error.strerror}): make it "
            f"a folder that user {os.getuid()} may write to"
        ) from None
