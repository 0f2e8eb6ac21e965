"""Large blobs in parts, straight into an object store that takes presigned URLs: begin, end, give
up. No byte passes here.

`blob_rows.sweep` removes the parts of abandoned uploads.
"""

from __future__ import annotations

from fastapi import Request, Response

from mecapy_backend.api import request_body
from mecapy_backend.api.auth import Owner
from mecapy_backend.api.json_reply import json
from mecapy_backend.api.limits.blob_quota import check_blob_size, reserving
from mecapy_backend.api.problems import Problem
from mecapy_backend.api.schemas.answers import answer
from mecapy_backend.api.schemas.blobs import PartsBody, PartsDoneBody
from mecapy_backend.api.services import Services, WithServices
from mecapy_backend.api.surface import surface
from mecapy_backend.store.blobs import blob_rows, reservations
from mecapy_backend.store.blobs.blob_types import upload_key
from mecapy_backend.store.blobs.reservations import NoRoom
from mecapy_jupyter import wire

router = surface("blobs")


@router.post(
    "/blobs/{digest}/parts",
    status_code=201,
    response_model=answer(wire.PartUrls),
    openapi_extra=request_body.described(PartsBody),
    summary="Upload in parts",
)
async def begin(request: Request, services: WithServices, owner: Owner, digest: str) -> Response:
    """URLs to PUT the parts of a blob to, several at a time, for some minutes; fresh ones for an
    `upload` that takes longer.
    """
    body = await services.bodies.read(request, PartsBody)
    size = body.size
    check_blob_size(services, size)
    if body.upload:
        await _reserve(services, owner, digest, body.upload, size)
        parts = await services.blobs.part_urls(owner, digest, size, body.upload, body.first)
    else:
        await reservations.reserve(services.db, owner, {digest: size}, services.settings, 0)
        parts = await services.blobs.begin_parts(owner, digest, size)
    if parts is not None and not body.upload:
        try:
            await _reserve(services, owner, digest, parts.upload, size)
        except NoRoom:
            await services.blobs.abort_parts(owner, digest, parts.upload)
            raise
    if parts is None:
        raise Problem(
            409,
            "no-parts",
            "this object store takes no parts; PUT the bytes to the URL that POST /blobs/missing "
            "gave",
        )
    return json(parts.as_json(), 201)


@router.post(
    "/blobs/{digest}/parts/{upload:path}",
    status_code=204,
    openapi_extra=request_body.described(PartsDoneBody),
    summary="Complete an upload in parts",
)
async def end(
    request: Request, services: WithServices, owner: Owner, digest: str, upload: str
) -> Response:
    """`etags`: the store's answers to the parts, in order. Asked again after it was done, it says
    so again.
    """
    done = await services.bodies.read(request, PartsDoneBody)
    within = reserving(services, owner, upload_key(digest, upload))
    ended = await services.blobs.end_parts(owner, digest, upload, done.etags)
    if await blob_rows.confirm_upload(
        services.db, services.blobs, owner, digest, done.size, within
    ):
        return Response(status_code=204)
    if ended:  # fewer parts than were announced
        await blob_rows.discard(services.db, services.blobs, owner, digest)
    raise Problem(
        409,
        "parts-missing",
        "not all parts of this blob arrived, or its upload was given up; upload it again",
    )


@router.delete(
    "/blobs/{digest}/parts/{upload:path}", status_code=204, summary="Give up an upload in parts"
)
async def abort(services: WithServices, owner: Owner, digest: str, upload: str) -> Response:
    """The parts that arrived are removed."""
    key = upload_key(digest, upload)
    await services.blobs.abort_parts(owner, digest, upload)
    await reservations.release(services.db, owner, [key])
    return Response(status_code=204)


async def _reserve(services: Services, owner: str, digest: str, upload: str, size: int) -> None:
    """Each upload holds parts of its own, also of the same blob."""
    wanted, valid_s = {upload_key(digest, upload): size}, reservations.DIRECT_UPLOAD_S
    await reservations.reserve(services.db, owner, wanted, services.settings, valid_s)
