"""Reports to the store what a cell can import on this worker, at its start and whenever something
is installed; notebooks check it before they send a cell. It only reads names and versions and
imports nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.metadata
import pkgutil
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mecapy_backend.store import workers
from mecapy_worker.context import Context
from mecapy_worker.retry import retry_transient

_AGAIN_S = 0.5
_SURE = timedelta(seconds=10)  # so old may the versions be that a kernel names in a key
_renewed_at: datetime | None = None
_settled: tuple[float, ...] | None = None


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
    global _renewed_at, _settled
    told: object = None
    while True:
        if (now := _changed()) != told:
            found = await asyncio.to_thread(packages)
            ctx.pool.nests.installed = frozenset(found)
            if await retry_transient(
                "packages",
                lambda found=found: workers.record_packages(ctx.db, ctx.worker_id, found),
            ):
                if told is not None:
                    await ctx.pool.renew()
                    _renewed_at = datetime.now(UTC)
                told = _settled = now
        await asyncio.sleep(_AGAIN_S)


def are_as_at(submitted_at: datetime) -> bool:
    """Whether nothing was installed here since then, and no child was older."""
    if _settled is not None and _changed() != _settled:
        return False
    return _renewed_at is None or _renewed_at < submitted_at - _SURE


def _changed() -> tuple[float, ...]:
    """Whether an installer has changed the folders of packages."""
    times = list[float]()
    for folder in sys.path:
        if not folder.endswith(("site-packages", "dist-packages")):
            continue
        with contextlib.suppress(OSError):
            times.append(Path(folder).stat().st_mtime)
    return tuple(times)
