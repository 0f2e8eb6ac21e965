"""Blobs: which are missing, where to put them, and what was taken over."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from mecapy_jupyter.wire import json_fields as fields
from mecapy_jupyter.wire.json_fields import JsonObject


@dataclass(frozen=True, slots=True)
class BlobSize:
    """A blob by its digest (BLAKE3, 64 hexadecimal digits), and how many bytes it has."""

    digest: str
    size: int

    def as_json(self) -> JsonObject:
        return {"digest": self.digest, "size": self.size}

    @classmethod
    def from_json(cls, data: JsonObject) -> BlobSize:
        return cls(fields.text(data, "digest"), fields.integer(data, "size"))


def missing_request(blobs: Iterable[BlobSize]) -> JsonObject:
    """The body of `POST /blobs/missing`."""
    return {"digests": [blob.as_json() for blob in blobs]}


@dataclass(frozen=True, slots=True)
class MissingBlob:
    """A blob to upload. `url`: a path of the gateway, or a presigned URL, which gets no token."""

    digest: str
    url: str

    def as_json(self) -> JsonObject:
        return {"digest": self.digest, "url": self.url}

    @classmethod
    def from_json(cls, data: JsonObject) -> MissingBlob:
        return cls(fields.text(data, "digest"), fields.text(data, "url"))


@dataclass(frozen=True, slots=True)
class MissingBlobs:
    """The answer of `POST /blobs/missing`."""

    missing: tuple[MissingBlob, ...] = ()

    def as_json(self) -> JsonObject:
        return {"missing": [blob.as_json() for blob in self.missing]}

    @classmethod
    def from_json(cls, data: JsonObject) -> MissingBlobs:
        return cls(tuple(map(MissingBlob.from_json, fields.objects(data, "missing"))))


@dataclass(frozen=True, slots=True)
class StoreFolders:
    """The answer of `GET /blobs/place`: folders of the store that a client on the gateway's own
    machine reaches without HTTP. Empty: none.
    """

    incoming: str = ""
    blobs: str = ""

    def as_json(self) -> JsonObject:
        return {"incoming": self.incoming or None, "blobs": self.blobs or None}

    @classmethod
    def from_json(cls, data: JsonObject) -> StoreFolders:
        return cls(fields.text(data, "incoming"), fields.text(data, "blobs"))


@dataclass(frozen=True, slots=True)
class TakenBlobs:
    """The answer of `POST /blobs/take`, in the order of the files that were named."""

    taken: tuple[BlobSize, ...] = ()

    def as_json(self) -> JsonObject:
        return {"taken": [blob.as_json() for blob in self.taken]}

    @classmethod
    def from_json(cls, data: JsonObject) -> TakenBlobs:
        return cls(tuple(map(BlobSize.from_json, fields.objects(data, "taken"))))


@dataclass(frozen=True, slots=True)
class PartUrls:
    """Where the parts of one upload go, each `part_bytes` long. `valid_s`: a PUT must begin within
    this time.
    """

    upload: str
    part_bytes: int
    urls: tuple[str, ...]
    valid_s: float = math.inf

    def as_json(self) -> JsonObject:
        return {
            "upload": self.upload,
            "part_bytes": self.part_bytes,
            "urls": list(self.urls),
            "valid_s": self.valid_s,
        }

    @classmethod
    def from_json(cls, data: JsonObject) -> PartUrls:
        valid_s = fields.number(data, "valid_s")
        return cls(
            fields.text(data, "upload"),
            fields.integer(data, "part_bytes"),
            fields.texts(data, "urls"),
            math.inf if valid_s is None else valid_s,
        )
