"""Blobs: which are missing, put, get. Bytes are streamed and never held whole; nothing here opens
them.
"""

from __future__ import annotations

from typing import Literal

from fastapi import Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse

from mecapy_backend.api import request_body
from mecapy_backend.api.auth import Owner, is_local
from mecapy_backend.api.json_reply import json
from mecapy_backend.api.limits.blob_quota import (
    check_blob_size,
    reserving,
    room_for_upload,
    too_large,
)
from mecapy_backend.api.problems import Problem, no_such_blob, store_unavailable
from mecapy_backend.api.schemas.answers import answer
from mecapy_backend.api.schemas.blobs import MissingBody, TakeBody
from mecapy_backend.api.services import WithServices
from mecapy_backend.api.surface import surface
from mecapy_backend.store.blobs import blob_rows, reservations
from mecapy_backend.store.blobs.blob_types import BadName, NotAFile, TooLong, WrongDigest
from mecapy_backend.store.blobs.reservations import DIRECT_UPLOAD_S
from mecapy_jupyter import wire

router = surface("blobs")
_BYTES = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.post(
    "/blobs/missing",
    response_model=answer(wire.MissingBlobs),
    openapi_extra=request_body.described(MissingBody),
    summary="Which blobs to upload",
)
async def missing(request: Request, services: WithServices, owner: Owner) -> Response:
    """Lists those of these blobs that are not stored yet, each with the URL to PUT it to."""
    wanted = {
        need.digest: need.size
        for need in (await services.bodies.read(request, MissingBody)).digests
    }
    if larger := sum(size > services.settings.max_blob_bytes for size in wanted.values()):
        raise too_large(services, f"{larger} of these have more")
    stored = (
        await blob_rows.touch_existing(services.db, owner, list(wanted)) if wanted else set[str]()
    )
    if more := wanted.keys() - stored:
        requested = {digest: wanted[digest] for digest in more}
        # Each upload through the gateway reserves its room when it arrives.
        direct = services.blobs.direct_uploads
        await reservations.reserve(
            services.db, owner, requested, services.settings, DIRECT_UPLOAD_S if direct else 0
        )
    urls = list[wire.MissingBlob]()
    for digest, size in wanted.items():
        if digest in stored:
            continue
        url = await services.blobs.upload_url(owner, digest, size)
        # True: it was uploaded past us, to a presigned URL.
        if url and await blob_rows.confirm_upload(
            services.db, services.blobs, owner, digest, size, reserving(services, owner)
        ):
            continue
        urls.append(wire.MissingBlob(digest, url or f"/blobs/{digest}"))
    return json(wire.MissingBlobs(tuple(urls)).as_json())


@router.get(
    "/blobs/place",
    response_model=answer(wire.StoreFolders),
    summary="Where to leave blobs on this machine's disk",
)
async def place(request: Request, services: WithServices, owner: Owner) -> Response:
    """For clients on the gateway's own machine: folders they may reach without HTTP. Null for all
    others.
    """
    found = await services.blobs.place(owner) if is_local(request) else None
    return json((found or wire.StoreFolders()).as_json())


@router.post(
    "/blobs/take",
    response_model=answer(wire.TakenBlobs),
    openapi_extra=request_body.described(TakeBody),
    summary="Take over files left in that place",
)
async def take(request: Request, services: WithServices, owner: Owner) -> Response:
    """Each file becomes a blob, named by the digest found in it; the answer has them in the same
    order.
    """
    limit = services.settings.max_blob_bytes
    taken = list[wire.BlobSize]()
    for name in (await services.bodies.read(request, TakeBody)).files:
        try:
            found = await services.blobs.take(owner, name, limit, reserving(services, owner))
            taken.append(wire.BlobSize(*found))
        except TooLong as large:
            raise too_large(services, f"this has {large}") from None
        except (BadName, FileNotFoundError):
            raise Problem(
                404, "no-such-file", "no such file was left for the gateway; PUT the bytes instead"
            ) from None
        except NotAFile as wrong:
            raise Problem(422, "no-file", f"{wrong}; PUT the bytes instead") from None
        except OSError as wrong:
            raise store_unavailable(wrong) from None
    return json(wire.TakenBlobs(tuple(taken)).as_json())


@router.put("/blobs/{digest}", status_code=204, openapi_extra=_BYTES, summary="Upload a blob")
async def put(request: Request, services: WithServices, owner: Owner, digest: str) -> Response:
    """The bytes as the body. `digest` is their BLAKE3 digest; other bytes are refused and nothing
    is kept.
    """
    content_length = request.headers.get("content-length", "")
    size = int(content_length) if content_length.isdecimal() else None
    check_blob_size(services, size or 0)
    try:
        async with room_for_upload(services, owner, size) as room:
            chunks = request_body.bounded(request, room, "split the value, or reduce it")
            lock = blob_rows.row_lock(services.db, owner)
            await services.blobs.write(owner, digest, chunks, lock)
    except WrongDigest as wrong:
        raise Problem(
            422,
            "wrong-digest",
            f"{wrong}; they were changed on the way, or the address is wrong: upload again",
        ) from None
    except OSError as full:
        raise store_unavailable(full) from None
    return Response(status_code=204)


@router.get("/blobs/{digest}", response_class=StreamingResponse, summary="Download a blob")
async def get(
    services: WithServices, owner: Owner, digest: str, through: Literal["", "gateway"] = ""
) -> Response:
    """The bytes. On S3 a redirect to a presigned URL: follow it, without the token; or ask for them
    `through` the gateway.
    """
    blobs = services.blobs
    try:
        size = await blobs.size(owner, digest)
    except BadName:
        size = None
    if size is None:
        raise no_such_blob()
    if not through and (url := await blobs.download_url(owner, digest)):
        return RedirectResponse(url, 307)
    headers = {
        "Content-Length": str(size),
        "Content-Disposition": "attachment",
        "X-Content-Type-Options": "nosniff",
    }
    return StreamingResponse(
        blobs.read(owner, digest), headers=headers, media_type="application/octet-stream"
    )
