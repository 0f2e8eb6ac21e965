"""How many bytes of blobs an owner may still store; reserved before any is accepted."""

from __future__ import annotations

import uuid
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from mecapy_backend.api.problems import Problem
from mecapy_backend.api.services import Services
from mecapy_backend.store.blobs import reservations
from mecapy_backend.store.blobs.blob_types import RowLock
from mecapy_backend.store.blobs.reservations import NoRoom

_UPLOAD_S = 24 * 3600.0  # of a gateway that died meanwhile


@asynccontextmanager
async def room_for_upload(services: Services, owner: str, size: int | None) -> AsyncGenerator[int]:
    """Reserves this many bytes while they arrive; None: the maximum of one blob, or what is left.
    Raises NoRoom.
    """
    key, most = f"upload {uuid.uuid4().hex}", services.settings.max_blob_bytes

    async def set_aside(so_many: int) -> int:
        wanted = {key: so_many}
        await reservations.reserve(services.db, owner, wanted, services.settings, _UPLOAD_S)
        return so_many

    try:
        room = await set_aside(most if size is None else size)
    except NoRoom as full:
        if size is not None or full.left < 1:
            raise
        room = await set_aside(full.left)
    try:
        yield room
    finally:
        await reservations.release(services.db, owner, [key])


def reserving(services: Services, owner: str, instead_of: str = "") -> RowLock:
    """A lock for bytes whose size is known only at their end."""
    return reservations.reserving(services.db, owner, services.settings, instead_of)


def check_blob_size(services: Services, size: int) -> None:
    """Problem 413 above the maximum of one blob."""
    if size > services.settings.max_blob_bytes:
        raise too_large(services, f"this has {size}")


def too_large(services: Services, what: str) -> Problem:
    limit = services.settings.max_blob_bytes
    detail = f"a blob may have {limit} bytes; {what}: split or reduce the value"
    return Problem(413, "too-large", detail)
