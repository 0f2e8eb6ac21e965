"""A result's blobs come to be while PostgreSQL may be away: wait for it, as everywhere in a worker, and fail no task for it.

Before it: `jobs`. After it: `blob_rows.storing`.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from mecapy_backend.store import blob_rows
from mecapy_backend.store.blobs import Within

from .context import Context, log, passing, patiently


def keeping(work: Context, owner: str) -> Within:
    """`blob_rows.storing`, patiently."""
    storing = blob_rows.storing(work.db, owner)

    @asynccontextmanager
    async def within(digest: str, size: int) -> AsyncGenerator[None]:
        stack = AsyncExitStack()
        await patiently("blob", lambda: stack.enter_async_context(storing(digest, size)), digest=digest)
        try:
            yield
        except BaseException:
            await stack.__aexit__(*sys.exc_info())
            raise
        try:
            await stack.aclose()
        except Exception as error:  # the bytes are there; `finish` names them again
            if not passing(error):
                raise
            log.warning("blob not recorded", digest=digest, error=repr(error))

    return within
