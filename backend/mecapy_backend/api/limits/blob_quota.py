"""How many bytes of blobs an owner may still store."""

from __future__ import annotations

from mecapy_backend.api.problems import Problem
from mecapy_backend.api.services import Services
from mecapy_backend.store.people import shares
from mecapy_backend.store.people.shares import QuotaUse

_UNLIMITED_BYTES = 2**62


async def check_blob_quota(services: Services, owner: str, more_bytes: int) -> int:
    """How many bytes there is room for. Problem 413 if so many more are too many."""
    status = await shares.quota_status(services.db, owner, services.settings, with_bytes=True)
    room_bytes = _UNLIMITED_BYTES
    for whose, uses in (
        ("your", status.of_owner),
        ("your organisation's", status.of_organisation),
    ):
        use = uses.get("bytes")
        if use is None or use.limit is None:
            continue
        if use.used + more_bytes > use.limit:
            raise _no_room(whose, use, more_bytes)
        room_bytes = min(room_bytes, int(use.limit - use.used))
    return room_bytes


def _no_room(whose: str, use: QuotaUse, more_bytes: int) -> Problem:
    detail = (
        f"{whose} blobs take {use.used:,.0f} of {use.limit:,.0f} bytes here and {more_bytes:,} "
        f"more do not fit: delete tasks you no longer need (DELETE /tasks/…), or try again once "
        f"unused blobs were swept; an admin can raise it (`quota_bytes`)"
    )
    return Problem(413, "quota", detail, headers={"Retry-After": "60"})


def check_blob_size(services: Services, size: int) -> None:
    """Problem 413 for more than one blob may have."""
    limit = services.settings.max_blob_bytes
    if size > limit:
        raise Problem(
            413,
            "too-large",
            f"a blob may have {limit} bytes; this has {size}: split or reduce the value",
        )
