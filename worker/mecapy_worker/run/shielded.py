"""What a cancel must not cut: the recording of an outcome."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

LEAVING_S = 5.0


async def shielded(work: Coroutine[object, object, object], within_s: float | None = None) -> None:
    """Finish `work` even when this task is cancelled meanwhile (a few seconds at most, or
    `within_s`: the lease's end puts it right).
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task], timeout=within_s)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=LEAVING_S)
        raise
    finally:
        while not task.done():  # a library below may swallow a cancel that comes at a bad moment
            task.cancel()
            await asyncio.wait([task], timeout=1)
    if not task.cancelled():
        task.result()
