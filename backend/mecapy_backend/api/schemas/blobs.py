"""Blobs: what is missing, in parts, or to be taken from a folder."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mecapy_backend.api.schemas.common import Digest, Request


class BlobNeed(Request):
    digest: Digest
    size: int = Field(ge=0, le=2**53)


class MissingBody(Request):
    digests: list[BlobNeed] = Field(max_length=10_000)


class PartsBody(Request):
    size: int = Field(gt=0, le=2**53)
    upload: str = Field(default="", max_length=1000)
    """One that has begun and takes long: fresh URLs for the parts left."""

    first: int = Field(default=0, ge=0, le=10_000)
    """The first part left, counted from 0."""


class PartsDoneBody(Request):
    size: int = Field(gt=0, le=2**53)
    etags: list[Annotated[str, Field(max_length=200)]] = Field(max_length=10_000)


class TakeBody(Request):
    files: list[str] = Field(max_length=10_000)
