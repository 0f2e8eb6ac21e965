"""Recording an outcome, which a cancel must not interrupt."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

LEAVING_S = 5.0


async def shielded(work: Coroutine[object, object, object], within_s: float | None = None) -> None:
    """Finish `work` even if this task is cancelled meanwhile (for a few seconds, or `within_s`; the
    lease's end repairs the rest).
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task], timeout=within_s)
    except asyncio.CancelledError:
        await asyncio.wait([task], timeout=LEAVING_S)
        raise
    finally:
        while not task.done():  # a library may swallow a cancel
            task.cancel()
            await asyncio.wait([task], timeout=1)
    if not task.cancelled():
        task.result()
