"""Blobs: which are missing, put, get. Bytes are streamed and never held whole; nothing here opens
them.
"""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse, StreamingResponse

from mecapy_backend.api import request_body
from mecapy_backend.api.auth import Owner
from mecapy_backend.api.json_reply import json
from mecapy_backend.api.problems import Problem, no_such_blob, unavailable
from mecapy_backend.api.schemas.blobs import (
    MissingBody,
    MissingView,
    PlaceView,
    TakeBody,
    TakenView,
)
from mecapy_backend.store.blobs import blob_rows
from mecapy_backend.store.blobs.blob_types import BadName, TooLong, WrongDigest
from mecapy_backend.store.people import shares
from mecapy_backend.store.people.shares import QuotaUse

router = APIRouter(tags=["blobs"])
_BYTES = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.post(
    "/blobs/missing",
    response_model=MissingView,
    openapi_extra=request_body.described(MissingBody),
    summary="Which blobs to upload",
)
async def missing(request: Request, owner: Owner) -> Response:
    """Of these blobs, those that are not stored yet, each with the URL to PUT its bytes to."""
    state, limit = request.app.state, request.app.state.settings.max_blob_bytes
    wanted = {
        need.digest: need.size for need in (await request_body.read(request, MissingBody)).digests
    }
    if too_large := [digest for digest, size in wanted.items() if size > limit]:
        raise Problem(
            413,
            "too-large",
            f"a blob may have {limit} bytes; {len(too_large)} of these have more: split or reduce "
            f"the value",
        )
    stored = await blob_rows.touch_existing(state.db, owner, list(wanted)) if wanted else set[str]()
    if more := wanted.keys() - stored:
        await within_quota(state, owner, sum(wanted[digest] for digest in more))
    answer = list[dict[str, str]]()
    for digest, size in wanted.items():
        if digest in stored:
            continue
        url = await state.blobs.upload_url(owner, digest, size)
        if url and await blob_rows.confirm_upload(
            state.db, state.blobs, owner, digest, size
        ):  # uploaded past us, to a presigned URL
            continue
        answer.append({"digest": digest, "url": url or f"/blobs/{digest}"})
    return json({"missing": answer})


@router.get(
    "/blobs/place", response_model=PlaceView, summary="Where to leave blobs on this machine's disk"
)
async def place(request: Request, owner: Owner) -> Response:
    """For clients on the gateway's own machine: folders they may reach without HTTP. Null for all
    others.
    """
    local = request.client is not None and request.client.host in ("127.0.0.1", "::1")
    found = await request.app.state.blobs.place(owner) if local else None
    return json(
        {
            "incoming": str(found.incoming) if found else None,
            "blobs": str(found.blobs) if found else None,
        }
    )


@router.post(
    "/blobs/take",
    response_model=TakenView,
    openapi_extra=request_body.described(TakeBody),
    summary="Take over files left in that place",
)
async def take(request: Request, owner: Owner) -> Response:
    """Each file becomes a blob, named by the digest found in it; the answer has them in the same
    order.
    """
    state, limit = request.app.state, request.app.state.settings.max_blob_bytes
    taken = list[tuple[str, int]]()
    for name in (await request_body.read(request, TakeBody)).files:
        try:
            taken.append(
                await state.blobs.take(owner, name, limit, blob_rows.row_lock(state.db, owner))
            )
        except TooLong as large:
            raise Problem(
                413,
                "too-large",
                f"a blob may have {limit} bytes; this has {large}: split or reduce the value",
            ) from None
        except (BadName, FileNotFoundError):
            raise Problem(
                404, "no-such-file", "no such file was left for the gateway; PUT the bytes instead"
            ) from None
        except (OSError, ValueError) as wrong:
            raise unavailable(f"the object store ({wrong})") from None
    try:
        await within_quota(state, owner, 0)
    except Problem:
        if await blob_rows.delete_unreferenced(
            state.db, state.blobs, owner, [digest for digest, _ in taken]
        ):
            raise  # else they all were there, and in use
    return json({"taken": [{"digest": digest, "size": size} for digest, size in taken]})


async def within_quota(state: Any, owner: str, more_bytes: int) -> int:
    """How many bytes there is room for. Problem 413 if so many more are too many."""
    standing = await shares.quota_status(state.db, owner, state.settings, with_bytes=True)
    room = 2**62
    for whose, uses in (("your", standing.own), ("your organisation's", standing.organisation)):
        use = uses.get("bytes", QuotaUse(0, None))
        if use.limit is None:
            continue
        if use.used + more_bytes > use.limit:
            told = (
                f"{whose} blobs take {use.used:,.0f} of {use.limit:,.0f} bytes here and "
                f"{more_bytes:,} more do not fit"
            )
            advice = (
                "delete tasks you no longer need (DELETE /tasks/…), or try again once unused "
                "blobs were swept"
            )
            raise Problem(
                413,
                "quota",
                f"{told}: {advice}; an admin can raise it (`quota_bytes`)",
                headers={"Retry-After": "60"},
            )
        room = min(room, int(use.limit - use.used))
    return room


@router.put("/blobs/{digest}", status_code=204, openapi_extra=_BYTES, summary="Upload a blob")
async def put(request: Request, owner: Owner, digest: str) -> Response:
    """The bytes as the body. `digest` is their BLAKE3 digest; other bytes are refused and nothing
    is kept.
    """
    state, limit = request.app.state, request.app.state.settings.max_blob_bytes
    room = await within_quota(state, owner, int(request.headers.get("content-length", 0)))
    try:
        chunks = request_body.bounded(request, min(limit, room), "split the value, or reduce it")
        await state.blobs.write(owner, digest, chunks, blob_rows.row_lock(state.db, owner))
    except WrongDigest as wrong:
        raise Problem(
            422,
            "wrong-digest",
            f"{wrong}; they were changed on the way, or the address is wrong: upload again",
        ) from None
    except OSError as full:
        raise unavailable(f"the object store ({full.strerror or type(full).__name__})") from None
    return Response(status_code=204)


@router.get("/blobs/{digest}", response_class=StreamingResponse, summary="Download a blob")
async def get(
    request: Request, owner: Owner, digest: str, through: Literal["", "gateway"] = ""
) -> Response:
    """The bytes. On S3 a redirect to a presigned URL: follow it, without the token; or ask for them
    `through` the gateway.
    """
    blobs = request.app.state.blobs
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
