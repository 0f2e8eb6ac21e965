"""Whether this worker can carry tasks: what every server needs (`mecapy_backend.shared.health`),
children,
and room on its disk.

What is wrong travels with the heartbeat, so that `mecapy doctor` names it from far away.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from pathlib import Path
from typing import Any

from mecapy_backend.shared.health import LOW_BYTES, Check, Health
from mecapy_backend.store.health_probes import server_health
from mecapy_worker.context import Context, log
from mecapy_worker.pool.pool import Pool

LOOK_S = 10.0
_HOPELESS = 3  # a zygote that was killed is replaced before that


def of(context: Context) -> Health:
    return server_health(
        context.db, context.queue, context.blobs, lambda: (children(context.pool), disk(context))
    )


def unfit(context: Context) -> str:
    """Why this worker, and perhaps it alone, should leave tasks to others; empty: it should not.
    Costs some microseconds.
    """
    if time.monotonic() - context.pulse.renewed_s > context.settings.lease_s:
        return "PostgreSQL has not answered for as long as a lease lasts"
    return disk(context).advice


def disk(context: Context) -> Check:
    try:
        free = _free(context.scratch)
    except OSError as error:
        why = (
            f"this worker cannot look at the folder its tasks write to ({error.strerror}); see "
            f"that nothing clears TMPDIR, and restart it"
        )
        return Check("disk", "gone", why)
    if free >= LOW_BYTES:
        return Check("disk")
    left = f"only {free // 1_000_000} MB are left where this worker's tasks write (TMPDIR)"
    return Check("disk", "full", f"{left}: make room; until then it takes no task")


def _free(scratch: Path) -> int:
    try:
        return shutil.disk_usage(scratch).free
    except FileNotFoundError:  # cleared away by somebody who takes it for a leftover
        scratch.mkdir(mode=0o700, exist_ok=True)
        return shutil.disk_usage(scratch).free


def children(pool: Pool) -> Check:
    if pool.failing < _HOPELESS or pool.spare:
        return Check("children")
    advice = (
        f"no child could be made ready, {pool.failing} times in a row: the worker's log says "
        f"why (memory, processes, MECAPY_PRELOAD)"
    )
    return Check("children", "failing", advice)


async def watch(health: Health, about: dict[str, Any]) -> None:
    """For ever: `about["health"]`, which goes with each heartbeat, says what is wrong now; a line
    when that changes.
    """
    before: dict[str, str] = {}
    while True:
        found = await health.report()
        now = {
            part.name: part.state
            for part in found.checks
            if not part.ok and part.state != "unknown"
        }
        if now != before:
            log.warning("health", wrong=now, before=before) if now else log.info(
                "health", wrong=now, before=before
            )
        about["health"] = {part.name: part.advice for part in found.checks if part.name in now}
        before = now
        await asyncio.sleep(LOOK_S)
