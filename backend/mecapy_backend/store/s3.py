"""Blobs on S3 (or a server that speaks it). boto3 blocks, so every call runs in a thread; bytes for children go through a local cache.

Made by `blobs.open_store` only.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import boto3  # pyright: ignore[reportMissingTypeStubs]
from botocore.config import Config  # pyright: ignore[reportMissingTypeStubs]
from botocore.exceptions import ClientError  # pyright: ignore[reportMissingTypeStubs]

from .blobs import CHUNK_BYTES, Place, Within, alone, blocks, relative
from .files import FileStore, Partial, examine

_PRESIGNED_S = 600


class S3Store:
    """`<prefix>/<owner>/<ab>/<digest>` in one bucket. Two processes may share the cache directory."""

    direct_uploads = True

    def __init__(self, bucket: str, prefix: str, endpoint_url: str, cache: FileStore, cache_bytes: int) -> None:
        self._bucket, self._prefix, self._cache, self._cache_bytes = bucket, prefix, cache, cache_bytes
        self._endpoint_url = endpoint_url
        self._made = cast(Any, None)
        self._making = threading.Lock()

    @property
    def _s3(self) -> Any:
        with self._making:  # at first use, in a thread: it reads files
            if self._made is None:
                options: dict[str, Any] = {"s3": {"addressing_style": "path"}} if self._endpoint_url else {}
                config = Config(
                    signature_version="s3v4",
                    connect_timeout=3,
                    read_timeout=30,
                    retries={"max_attempts": 4, "mode": "standard"},
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                    max_pool_connections=32,
                    **options,
                )
                region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
                connect: Any = boto3.client  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]
                self._made = connect("s3", endpoint_url=self._endpoint_url or None, region_name=region, config=config)
            return self._made

    def _at(self, owner: str, digest: str) -> dict[str, str]:
        below = relative(owner, digest)
        return {"Bucket": self._bucket, "Key": f"{self._prefix}/{below}" if self._prefix else below}

    async def has(self, owner: str, digest: str) -> bool:
        return await self.size(owner, digest) is not None

    async def size(self, owner: str, digest: str) -> int | None:
        return await asyncio.to_thread(self._size, self._at(owner, digest))

    def _size(self, at: dict[str, str]) -> int | None:
        try:
            return int(self._s3.head_object(**at)["ContentLength"])
        except ClientError as refused:
            if _status(refused) == 404:
                return None
            raise

    async def write(self, owner: str, digest: str, chunks: AsyncIterator[bytes], within: Within = alone) -> int:
        at = self._at(owner, digest)
        partial = await asyncio.to_thread(Partial, self._cache.root)
        try:
            async for block in blocks(chunks):
                await asyncio.to_thread(partial.write, block)
            size = await asyncio.to_thread(partial.check, digest)
            async with within(digest, size):
                await asyncio.to_thread(self._upload, partial.path, at)
            return size
        finally:
            await asyncio.to_thread(partial.discard)

    def _upload(self, path: Path, at: dict[str, str]) -> None:
        self._s3.upload_file(str(path), at["Bucket"], at["Key"])

    async def read(self, owner: str, digest: str) -> AsyncIterator[bytes]:
        body = await asyncio.to_thread(self._get, self._at(owner, digest))
        try:
            while block := await asyncio.to_thread(body.read, CHUNK_BYTES):
                yield block
        finally:
            body.close()

    def _get(self, at: dict[str, str]) -> Any:
        try:
            return self._s3.get_object(**at)["Body"]
        except ClientError as refused:
            if _status(refused) == 404:
                raise FileNotFoundError(at["Key"]) from None
            raise

    async def open(self, owner: str, digest: str) -> int:
        """From the cache, else fetched into it and checked: what a presigned upload brought may be anything."""
        try:
            fd = await self._cache.open(owner, digest)
        except FileNotFoundError:
            await asyncio.to_thread(self._download, owner, digest)
            fd = await self._cache.open(owner, digest)
            await asyncio.to_thread(self._trim)
        await asyncio.to_thread(os.utime, self._cache.path(owner, digest))  # used now: the last to be dropped
        return fd

    def _download(self, owner: str, digest: str) -> None:
        """Into the cache, in parts at the same time."""
        at, partial = self._at(owner, digest), Partial(self._cache.root)
        try:
            self._s3.download_file(at["Bucket"], at["Key"], str(partial.path))
            partial.take(partial.path, self._cache.path(owner, digest))
        except ClientError as refused:
            if _status(refused) == 404:
                raise FileNotFoundError(at["Key"]) from None
            raise
        finally:
            partial.discard()

    def _trim(self) -> None:
        """Drop the files used longest ago until the cache is as small as it should be. Open ones live on for their readers."""
        files = list[tuple[float, int, Path]]()
        for path in self._cache.root.glob("*/??/*"):
            with suppress(FileNotFoundError):  # another process trims as well
                status = path.stat()
                files.append((status.st_mtime, status.st_size, path))
        total = sum(size for _, size, _ in files)
        for _, size, path in sorted(files):
            if total <= self._cache_bytes:
                return
            path.unlink(missing_ok=True)
            total -= size

    async def adopt(self, owner: str, path: Path, within: Within = alone) -> tuple[str, int]:
        digest, size, _ = await asyncio.to_thread(examine, path)
        async with within(digest, size):
            await asyncio.to_thread(self._upload, path, self._at(owner, digest))
        await asyncio.to_thread(path.unlink)
        return digest, size

    async def delete(self, owner: str, digest: str) -> None:
        await asyncio.to_thread(lambda: self._s3.delete_object(**self._at(owner, digest)))
        await self._cache.delete(owner, digest)

    async def tidy(self, older_s: float) -> None:
        await self._cache.tidy(older_s)

    async def upload_url(self, owner: str, digest: str, size: int) -> str | None:
        return await asyncio.to_thread(self._presigned, "put_object", self._at(owner, digest) | {"ContentLength": size})

    async def download_url(self, owner: str, digest: str) -> str | None:
        return await asyncio.to_thread(self._presigned, "get_object", self._at(owner, digest))

    async def place(self, owner: str) -> Place | None:
        return None

    async def take(self, owner: str, name: str, max_bytes: int, within: Within = alone) -> tuple[str, int]:
        raise FileNotFoundError(name)

    def _presigned(self, method: str, parameters: dict[str, Any]) -> str:
        return str(self._s3.generate_presigned_url(method, Params=parameters, ExpiresIn=_PRESIGNED_S))


def _status(refused: Any) -> int:
    return int(refused.response["ResponseMetadata"]["HTTPStatusCode"])
