"""Whether this worker can run tasks: the checks of every server (`mecapy_backend.shared.health`),
children, and disk space. The heartbeat carries what is wrong, so that `mecapy doctor` can name it
from elsewhere.
"""

from __future__ import annotations

import asyncio

from mecapy_backend.shared.health import Health
from mecapy_backend.store.health_probes import NEEDED, server_health
from mecapy_jupyter.wire import JsonObject
from mecapy_worker.context import Context
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
    """Forever: `about["health"]`, which each heartbeat carries, names what is wrong now."""
    while True:
        found = await health.report()
        about["health"] = {name: part.advice for name, part in found.wrong.items()}
        await asyncio.sleep(LOOK_S)
