"""Reports to the store what a cell can import on this worker, at its start and whenever something
is installed; notebooks check it before they send a cell. It only reads names and versions and
imports nothing.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import inspect
import pkgutil
import sys
from collections.abc import Iterable
from email.parser import HeaderParser

from mecapy_backend.store import workers
from mecapy_worker.context import Context
from mecapy_worker.packages import base, renewal
from mecapy_worker.retry import retry_transient

_AGAIN_S = 0.5


def packages() -> dict[str, list[str]]:
    """Top-level module → [distribution, version], both empty where no distribution owns it. Takes
    about 0.15 s; `importlib.metadata.packages_distributions` alone takes three times as long.
    """
    importlib.invalidate_caches()
    owned = dict[str, list[str]]()
    for distribution in importlib.metadata.distributions():
        about = _name_and_version(distribution)
        for module in _modules(distribution):
            owned.setdefault(module, about)  # the first on the path is imported
    found = {module.name: ["", ""] for module in pkgutil.iter_modules()} | owned
    return {
        name: about
        for name, about in sorted(found.items())
        if name not in sys.stdlib_module_names and name.isidentifier()
    }


def _name_and_version(distribution: importlib.metadata.Distribution) -> list[str]:
    """From the headers alone: the description below them is long."""
    text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    headers = HeaderParser().parsestr(text.partition("\n\n")[0])
    return [headers["Name"] or "", headers["Version"] or ""]


def _modules(distribution: importlib.metadata.Distribution) -> Iterable[str]:
    """Its top-level modules, as it declares them or by its files."""
    if declared := (distribution.read_text("top_level.txt") or "").split():
        return declared
    if (record := distribution.read_text("RECORD")) is None:
        files = [str(file) for file in distribution.files or ()]
    else:
        files = [line.partition(",")[0] for line in record.splitlines()]
    folders = {file.partition("/")[0] for file in files if "/" in file and file.endswith(".py")}
    return folders | {inspect.getmodulename(file) or "" for file in files if "/" not in file}


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
