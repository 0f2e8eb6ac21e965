"""Blobs: what is missing, in parts, or to be taken from a folder."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mecapy_backend.api.schemas.common import Digest, Request


class BlobNeed(Request):
    digest: Digest
    size: Annotated[int, Field(ge=0, le=2**53)]


class MissingBody(Request):
    digests: Annotated[list[BlobNeed], Field(max_length=10_000)]


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


class PartsDoneBody(Request):
    size: Annotated[int, Field(gt=0, le=2**53)]
    etags: Annotated[list[Annotated[str, Field(max_length=200)]], Field(max_length=10_000)]


class TakeBody(Request):
    files: Annotated[list[str], Field(max_length=10_000)]
