"""What a cell can import on this worker, told to the store once: notebooks look at it before they
send.

It only reads names and versions; nothing is imported for it.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import pkgutil
import sys

from mecapy_backend.store import workers
from mecapy_worker.context import Context
from mecapy_worker.retry import retry_transient

_AGAIN_S = 0.5


def packages() -> dict[str, list[str]]:
    """Top-level module → [distribution, version], both empty where no distribution owns it. Takes
    about 0.2 s.
    """
    owners = importlib.metadata.packages_distributions()
    versions = {
        name: importlib.metadata.version(name) for name in {names[0] for names in owners.values()}
    }
    found = {module.name: ["", ""] for module in pkgutil.iter_modules()}
    found |= {module: [names[0], versions[names[0]]] for module, names in owners.items()}
    return {
        name: about
        for name, about in sorted(found.items())
        if name not in sys.stdlib_module_names and name.isidentifier()
    }


async def tell(ctx: Context) -> None:
    """Once this worker's row is there, add what is installed to it."""
    found = await asyncio.to_thread(packages)
    while True:
        if await retry_transient(
            "packages", lambda: workers.record_packages(ctx.db, ctx.worker_id, found)
        ):
            return
        await asyncio.sleep(_AGAIN_S)
