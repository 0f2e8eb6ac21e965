"""Bytes, named by their BLAKE3 digest inside their owner's own space. Knows no task and opens no
pickle.

`open_store` picks `FileStore` or `S3Store`; which blobs exist for the gateway stands in the table
(`blob_rows`).
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mecapy_backend.shared.settings import Settings
from mecapy_backend.store.blobs.blob_types import BlobStore
from mecapy_backend.store.blobs.file_store import FileStore
from mecapy_jupyter.shared.errors import ConfigError


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
