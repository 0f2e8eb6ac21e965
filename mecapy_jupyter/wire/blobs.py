"""Blobs: which are missing, where to put them, and what was taken over."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from mecapy_jupyter.wire.json_fields import JsonObject
from mecapy_jupyter.wire.shape import Shape


@dataclass(frozen=True, slots=True)
class BlobSize(Shape):
    """A blob by its digest (BLAKE3, 64 hexadecimal digits), and how many bytes it has."""

    digest: str
    size: int


def missing_request(blobs: Iterable[BlobSize]) -> JsonObject:
    """The body of `POST /blobs/missing`."""
    return {"digests": [blob.as_json() for blob in blobs]}


@dataclass(frozen=True, slots=True)
class MissingBlob(Shape):
    """A blob to upload. `url`: a path of the gateway, or a presigned URL, which gets no token."""

    digest: str
    url: str


@dataclass(frozen=True, slots=True)
class MissingBlobs(Shape):
    """The answer of `POST /blobs/missing`."""

    missing: tuple[MissingBlob, ...] = ()


@dataclass(frozen=True, slots=True)
class StoreFolders(Shape):
    """The answer of `GET /blobs/place`: folders of the store that a client on the gateway's own
    machine reaches without HTTP; None: there are none. In `incoming` it leaves files, named by 32
    random hexadecimal digits, and then asks `POST /blobs/take`; a blob is the file `ab/abcd…` below
    `blobs`.
    """

    incoming: str | None = None
    blobs: str | None = None


@dataclass(frozen=True, slots=True)
class TakenBlobs(Shape):
    """The answer of `POST /blobs/take`, in the order of the files that were named."""

    taken: tuple[BlobSize, ...] = ()


@dataclass(frozen=True, slots=True)
class PartUrls(Shape):
    """Where the parts of one upload go: PUT each `part_bytes` bytes to the next of `urls`, without
    the token, and keep the ETags. `valid_s`: a PUT must begin within this time.
    """

    upload: str
    part_bytes: int
    urls: tuple[str, ...]
    valid_s: float = math.inf
