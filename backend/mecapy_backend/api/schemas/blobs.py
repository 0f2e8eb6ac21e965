"""Blobs: what is missing, in parts, or to be taken from a folder."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, Field

from mecapy_backend.api.schemas.common import Digest, Request


class BlobNeed(Request):
    digest: Digest
    size: Annotated[int, Field(ge=0, le=2**53)]


class MissingBody(Request):
    digests: Annotated[list[BlobNeed], Field(max_length=10_000)]


class MissingBlobView(BaseModel):
    digest: str
    url: Annotated[
        str,
        Field(
            description="PUT the bytes here; a path of this gateway, or a presigned URL (send no "
            "token to that)"
        ),
    ]


class MissingView(BaseModel):
    missing: list[MissingBlobView]


class PartsBody(Request):
    size: Annotated[int, Field(gt=0, le=2**53)]
    upload: Annotated[
        str,
        Field(
            max_length=1000,
            description="one that has begun and takes long: fresh URLs for the parts left",
        ),
    ] = ""
    first: Annotated[
        int, Field(ge=0, le=10_000, description="the first part left, counted from 0")
    ] = 0


class PartsView(BaseModel):
    upload: str
    part_bytes: int
    urls: Annotated[
        list[str],
        Field(
            description="PUT each `part_bytes` bytes to the next of these, without the token; "
            "keep the ETags"
        ),
    ]
    valid_s: Annotated[
        int, Field(description="a PUT must begin within this time; ask for fresh ones after it")
    ]


class PartsDoneBody(Request):
    size: Annotated[int, Field(gt=0, le=2**53)]
    etags: Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=10_000)]


class PlaceView(BaseModel):
    incoming: Annotated[
        str | None,
        Field(
            description="leave files here, named by 32 random hexadecimal digits, then POST "
            "/blobs/take"
        ),
    ]
    blobs: Annotated[
        str | None, Field(description="a stored blob is the file `ab/abcd…` below this")
    ]


class TakeBody(Request):
    files: Annotated[list[str], Field(max_length=10_000)]


class TakenView(BaseModel):
    taken: list[BlobNeed]
