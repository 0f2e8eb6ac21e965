"""Blobs on S3 (or a compatible server). Every call of `bucket` runs in a thread; bytes for children
go through a local cache.

Clients upload with signed URLs, and S3 knows no BLAKE3. So the first reader checks a blob: the
worker when it fetches it into its cache, before any child sees a byte, or the owner's kernel.
Checking at arrival would route every byte through the gateway.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from pathlib import Path
from typing import ParamSpec, TypeVar
from weakref import WeakValueDictionary

from mecapy_backend.store.blobs.blob_types import (
    CHUNK_BYTES,
    BlobStore,
    RowLock,
    StoredBlob,
    blob_key,
    no_lock,
    parse_blob_key,
)
from mecapy_backend.store.blobs.bucket import CONNECTIONS, PRESIGNED_S, Bucket
from mecapy_backend.store.blobs.file_store import FileStore
from mecapy_backend.store.blobs.listing import ListingRounds
from mecapy_backend.store.blobs.partial_file import PartialFile, examine, received
from mecapy_jupyter.shared.own_folder import own_folder
from mecapy_jupyter.wire import PartUrls

_P = ParamSpec("_P")
_T = TypeVar("_T")


class S3Store(BlobStore):
    """`<prefix>/<owner>/<ab>/<digest>` in one bucket. Several processes may share the cache
    directory.
    """

    direct_uploads = True

    def __init__(self, bucket: Bucket, cache: FileStore, cache_bytes: int) -> None:
        self._bucket = bucket
        self._files, self._cache_bytes = cache, cache_bytes
        self._fetching: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._rounds = ListingRounds(self._all)
        self._threads = ThreadPoolExecutor(CONNECTIONS, "s3")

    @property
    def cache(self) -> FileStore:
        """The cache is handed out unread, so each use checks that it is ours alone: a cleaner of
        the temp folder may have made room for another user's.
        """
        own_folder(self._files.root, setting="MECAPY_CACHE_DIR")
        return self._files

    async def _ask(self, call: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
        """Uses separate threads: a store that stalls would block those of the event loop."""
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, partial(call, *arguments, **named)
        )

    async def size(self, owner: str, digest: str) -> int | None:
        return await self._ask(self._bucket.size, blob_key(owner, digest))

    async def write(
        self, owner: str, digest: str, chunks: AsyncIterator[bytes], row_lock: RowLock = no_lock
    ) -> int:
        key = blob_key(owner, digest)
        async with received(self.cache.root, digest, chunks) as (path, size):
            await self._upload(path, key, row_lock(digest, size), size)
            return size

    async def _upload(
        self, path: Path, key: str, locked: AbstractAsyncContextManager[None], size: int
    ) -> None:
        """Not under the lock, which is a connection to PostgreSQL, because this may take minutes. A
        delete in between is rare.
        """
        await self._ask(self._bucket.upload, path, key)
        async with locked:
            if await self._ask(self._bucket.size, key) != size:
                await self._ask(self._bucket.upload, path, key)

    async def read(self, owner: str, digest: str) -> AsyncIterator[bytes]:
        body = await self._ask(self._bucket.get, blob_key(owner, digest))
        try:
            while block := await self._ask(body.read, CHUNK_BYTES):
                yield block
        finally:
            body.close()

    async def open(self, owner: str, digest: str) -> int:
        """Reads from the cache, else fetches into it and checks. Concurrent requests for one blob
        fetch it once.
        """
        key = blob_key(owner, digest)
        fetching = self._fetching.setdefault(key, asyncio.Lock())
        async with fetching:
            try:
                fd = await self.cache.open(owner, digest)
            except FileNotFoundError:
                fd = await self._ask(self._download, key, self.cache.path(owner, digest))
                await asyncio.to_thread(self._trim)
        # Used now: the last to be dropped, unless another process has just dropped it.
        with suppress(FileNotFoundError):
            await asyncio.to_thread(os.utime, self.cache.path(owner, digest))
        return fd

    def _download(self, key: str, target: Path) -> int:
        """Fetches into the cache, in parts at the same time. The file is opened before it gets its
        name, because others may then drop it.
        """
        partial = PartialFile(self.cache.root)
        try:
            self._bucket.download(key, partial.path)
            fd = os.open(partial.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
            try:
                partial.take(partial.path, target)
            except BaseException:
                os.close(fd)
                raise
            return fd
        finally:
            partial.discard()

    def _trim(self) -> None:
        """Deletes the files that were used longest ago until the cache is within its size. Open
        files stay for their readers.
        """
        files = list[tuple[float, int, Path]]()
        for path in self.cache.root.glob("*/??/*"):
            with suppress(FileNotFoundError):  # another process trims as well
                status = path.stat()
                files.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= self._cache_bytes:
                return
            path.unlink(missing_ok=True)
            total -= size

    async def adopt(self, owner: str, path: Path, row_lock: RowLock = no_lock) -> tuple[str, int]:
        """Uploads it and keeps it in the cache, because the next cell that uses this result may run
        here.
        """
        digest, size, owned = await asyncio.to_thread(examine, path, own=True)
        await self._upload(path, blob_key(owner, digest), row_lock(digest, size), size)
        if owned and size <= self._cache_bytes:
            await asyncio.to_thread(
                self.cache.keep_if_same_disk, path, self.cache.path(owner, digest)
            )
            await asyncio.to_thread(self._trim)
        await asyncio.to_thread(path.unlink, True)
        return digest, size

    async def delete(self, owner: str, digest: str) -> None:
        await self._ask(self._bucket.delete, blob_key(owner, digest))
        await self.cache.delete(owner, digest)

    async def tidy(self, older_s: float) -> None:
        await self.cache.tidy(older_s)
        await self._ask(self._bucket.abort_old, older_s)

    async def listed(self, limit: int) -> list[StoredBlob]:
        return await self._ask(self._rounds.next, limit)

    def _all(self) -> Iterator[StoredBlob]:
        return (
            StoredBlob(*named, size, at)
            for key, size, at in self._bucket.objects()
            if (named := parse_blob_key(key))
        )

    async def upload_url(self, owner: str, digest: str, size: int) -> str | None:
        return await self._ask(self._bucket.upload_url, blob_key(owner, digest), size)

    async def download_url(self, owner: str, digest: str) -> str | None:
        return await self._ask(self._bucket.download_url, blob_key(owner, digest))

    async def begin_parts(self, owner: str, digest: str, size: int) -> PartUrls | None:
        upload = await self._ask(self._bucket.begin_parts, blob_key(owner, digest))
        return await self.part_urls(owner, digest, size, upload, 0)

    async def part_urls(
        self, owner: str, digest: str, size: int, upload: str, first: int
    ) -> PartUrls | None:
        part_bytes, urls = await self._ask(
            self._bucket.part_urls, blob_key(owner, digest), size, upload, first
        )
        return PartUrls(upload, part_bytes, tuple(urls), PRESIGNED_S)

    async def end_parts(self, owner: str, digest: str, upload: str, etags: list[str]) -> bool:
        return await self._ask(self._bucket.end_parts, blob_key(owner, digest), upload, etags)

    async def abort_parts(self, owner: str, digest: str, upload: str) -> None:
        await self._ask(self._bucket.abort_parts, blob_key(owner, digest), upload)
