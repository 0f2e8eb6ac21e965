"""Whether this worker can carry tasks: what every server needs (`mecapy_backend.shared.health`),
children,
and room on its disk.

What is wrong travels with the heartbeat, so that `mecapy doctor` names it from far away.
"""

from __future__ import annotations

import asyncio

from mecapy_backend.shared.health import Health
from mecapy_backend.store.health_probes import NEEDED, server_health
from mecapy_jupyter.wire import JsonObject
from mecapy_worker.context import Context
from mecapy_worker.log import log
from mecapy_worker.run.readiness import children, disk

LOOK_S = 10.0
_NEEDED = NEEDED | {"redis", "store", "children", "disk"}


def of(context: Context) -> Health:
    return server_health(
        context.db,
        context.queue,
        context.blobs,
        _NEEDED,
        lambda: (children(context.pool), disk(context)),
    )


async def watch(health: Health, about: JsonObject) -> None:
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
