"""Reports to the store what a cell can import on this worker, at its start and whenever something
is installed; notebooks check it before they send a cell. It only reads names and versions and
imports nothing.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import pkgutil
import sys

from mecapy_backend.store import workers
from mecapy_worker.context import Context
from mecapy_worker.packages import base, renewal
from mecapy_worker.retry import retry_transient

_AGAIN_S = 0.5


def packages() -> dict[str, list[str]]:
    """Top-level module → [distribution, version], both empty where no distribution owns it. Takes
    about 0.2 s.
    """
    importlib.invalidate_caches()
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
    """Add the installed packages to this worker's row, and again when they change, with children
    that have them.
    """
    told: object = None
    while True:
        # Also what it reads: a task may hold all files that this process may open.
        told = await retry_transient("packages", lambda told=told: _tell_changes(ctx, told))
        await asyncio.sleep(_AGAIN_S)


async def _tell_changes(ctx: Context, told: object) -> object:
    """The state of the packages that the store has now; `told` is the one that it had."""
    if (now := base.changed()) == told:
        return told
    found = await asyncio.to_thread(packages)
    ctx.pool.nests.installed = frozenset(found)
    if not await workers.record_packages(ctx.db, ctx.worker_id, found):
        return told
    if told is not None:
        await ctx.pool.renew()
    renewal.settle(now, is_first=told is None)
    return now
