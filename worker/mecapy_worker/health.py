"""Whether this machine's worker lives, by its own heartbeat: the health check of the worker's image.

`python -m mecapy_worker.health` ends with 0 when a worker of this host was heard of lately. It may not touch Redis or a task;
the heartbeat it looks for is written by `lease`.
"""

from __future__ import annotations

import asyncio
import platform
import sys

from mecapy_backend.settings import Settings
from mecapy_backend.store import database, workers


async def alive(settings: Settings) -> bool:
    db = database.connect(settings.database_url)
    try:
        return any(worker.info.get("host") == platform.node() for worker in await workers.alive(db))
    finally:
        await db.dispose()


if __name__ == "__main__":
    if not asyncio.run(alive(Settings())):
        sys.exit(f"no worker of {platform.node()} was heard of lately")
