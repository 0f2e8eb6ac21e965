"""One bucket of an S3 server, below one prefix: what we ask of boto3, in calls that block. Knows no
digest and no owner.

Several parts at a time go both ways (boto3's transfer manager); for clients, URLs are signed with
which they do the same themselves.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlsplit

import boto3  # pyright: ignore[reportMissingTypeStubs]
from boto3.exceptions import Boto3Error  # pyright: ignore[reportMissingTypeStubs]
from botocore.config import Config  # pyright: ignore[reportMissingTypeStubs]
from botocore.exceptions import BotoCoreError, ClientError  # pyright: ignore[reportMissingTypeStubs]

from mecapy_backend.store.blobs.blob_types import ObjectStoreError

PRESIGNED_S = 600  # until the request begins
CONNECTIONS = 32
_REGION_IN_NAME = (".scw.cloud", ".cloud.ovh.net", ".amazonaws.com")
_PART_BYTES, _MOST_PARTS = 8 << 20, 1000


class Bucket:
    """An object that is not there raises FileNotFoundError."""

    def __init__(self, name: str, prefix: str, endpoint_url: str, region: str = "") -> None:
        self._region = region or _region(endpoint_url)
        self._name = name
        self._prefix = f"{prefix}/" if prefix else ""
        self._endpoint_url = endpoint_url
        self._made = cast(Any, None)
        self._making = threading.Lock()

    @property
    def _s3(self) -> Any:
        with self._making:  # at first use, in a thread: it reads files
            if self._made is None:
                options: dict[str, Any] = (
                    {"s3": {"addressing_style": "path"}} if self._endpoint_url else {}
                )
                config = Config(
                    signature_version="s3v4",
                    connect_timeout=3,
                    read_timeout=30,
                    retries={"max_attempts": 4, "mode": "standard"},
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                    max_pool_connections=CONNECTIONS,
                    **options,
                )
                # Of our own: boto3's keeps the first credentials that this process had.
                session: Any = boto3.Session()
                self._made = session.client(
                    "s3",
                    endpoint_url=self._endpoint_url or None,
                    region_name=self._region,
                    config=config,
                )
            return self._made

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self._name, "Key": self._prefix + key}

    def size(self, key: str) -> int | None:
        try:
            return int(self._s3.head_object(**self._at(key))["ContentLength"])
        except ClientError as refused:
            if _status(refused) == 404:
                return None
            raise

    def get(self, key: str) -> Any:
        """The object's bytes, to `read` piece by piece and to `close`."""
        try:
            return self._s3.get_object(**self._at(key))["Body"]
        except ClientError as refused:
            raise _gone(refused, key) from None

    def upload(self, path: Path, key: str) -> None:
        try:
            self._s3.upload_file(str(path), self._name, self._prefix + key)
        except (Boto3Error, BotoCoreError) as broken:
            raise ObjectStoreError(f"the object store took no upload: {broken}") from broken

    def download(self, key: str, path: Path) -> None:
        try:
            self._s3.download_file(self._name, self._prefix + key, str(path))
        except ClientError as refused:
            raise _gone(refused, key) from None
        except (Boto3Error, BotoCoreError) as broken:
            raise ObjectStoreError(f"the object store gave no answer: {broken}") from broken

    def delete(self, key: str) -> None:
        self._s3.delete_object(**self._at(key))

    def objects(self) -> Iterator[tuple[str, int, float]]:
        """Key, size and time of every object, page by page."""
        for page in self._s3.get_paginator("list_objects_v2").paginate(
            Bucket=self._name, Prefix=self._prefix
        ):
            for one in page.get("Contents", ()):
                yield (
                    str(one["Key"]).removeprefix(self._prefix),
                    int(one["Size"]),
                    one["LastModified"].timestamp(),
                )

    def upload_url(self, key: str, size: int) -> str:
        """A URL to PUT exactly so many bytes to: the size is signed, too."""
        return self._presigned("put_object", self._at(key) | {"ContentLength": size})

    def download_url(self, key: str) -> str:
        return self._presigned("get_object", self._at(key))

    def begin_parts(self, key: str) -> str:
        """A multipart upload: its id."""
        return str(self._s3.create_multipart_upload(**self._at(key))["UploadId"])

    def part_urls(self, key: str, size: int, upload: str, first: int) -> tuple[int, list[str]]:
        """The size of its parts (the last may be smaller), and a URL for each from the `first` on,
        counted from 0.
        """
        part_bytes = max(_PART_BYTES, -(-size // _MOST_PARTS))
        urls = list[str]()
        for start in range(first * part_bytes, size, part_bytes):
            number, length = start // part_bytes + 1, min(part_bytes, size - start)
            part: dict[str, Any] = {
                "UploadId": upload,
                "PartNumber": number,
                "ContentLength": length,
            }
            urls.append(self._presigned("upload_part", self._at(key) | part))
        return part_bytes, urls

    def end_parts(self, key: str, upload: str, etags: list[str]) -> bool:
        """Make the parts an object. False: there is no such upload (any more), or these are not its
        parts.
        """
        parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
        try:
            self._s3.complete_multipart_upload(
                **self._at(key), UploadId=upload, MultipartUpload={"Parts": parts}
            )
        except ClientError as refused:
            if 400 <= _status(refused) < 500:
                return False
            raise
        return True

    def abort_parts(self, key: str, upload: str) -> None:
        try:
            self._s3.abort_multipart_upload(**self._at(key), UploadId=upload)
        except ClientError as refused:
            if _status(refused) not in (400, 404):  # there is none, or it is the name of none
                raise

    def abort_old(self, older_s: float) -> None:
        """Abort multipart uploads that nobody will finish: their parts take room and show in no
        listing of objects.
        """
        for page in self._s3.get_paginator("list_multipart_uploads").paginate(
            Bucket=self._name, Prefix=self._prefix
        ):
            for one in page.get("Uploads", ()):
                if one["Initiated"].timestamp() < time.time() - older_s:
                    self.abort_parts(
                        str(one["Key"]).removeprefix(self._prefix), str(one["UploadId"])
                    )

    def _presigned(self, method: str, parameters: dict[str, Any]) -> str:
        """A URL for one method, one key and, where bytes are sent, their number."""
        return str(
            self._s3.generate_presigned_url(method, Params=parameters, ExpiresIn=PRESIGNED_S)
        )


def _region(endpoint_url: str) -> str:
    """The region in the environment, else in the names of hosts that check it. Others (Cellar,
    MinIO, SeaweedFS) take any.
    """
    host = urlsplit(endpoint_url).hostname or ""
    named = host.startswith("s3.") and host.endswith(_REGION_IN_NAME)
    return (
        os.environ.get("AWS_REGION")
        or os.environ.get("AWS_DEFAULT_REGION")
        or (host.split(".")[1] if named else "us-east-1")
    )


def _gone(refused: Any, key: str) -> Exception:
    return FileNotFoundError(key) if _status(refused) == 404 else refused


def _status(refused: Any) -> int:
    return int(refused.response["ResponseMetadata"]["HTTPStatusCode"])
