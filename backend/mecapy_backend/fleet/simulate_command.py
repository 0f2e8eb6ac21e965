"""`mecapy fleet simulate`: from its words to its tables."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence

from mecapy_backend.fleet import classes
from mecapy_backend.fleet.classes import MachineClass
from mecapy_backend.fleet.simulation import tables
from mecapy_backend.fleet.simulation.loads import PATTERNS, Pattern, RunTimes
from mecapy_backend.shared import environment
from mecapy_backend.shared.settings import Settings
from mecapy_backend.store import database
from mecapy_backend.store.tasks import history
from mecapy_jupyter.shared.errors import ConfigError

_CONSTANTS_AT = 100_000
_MEDIAN = 8 / 30  # of the mean


def simulate(
    volumes: Sequence[int] | None,
    arrivals: Sequence[str] | None,
    mean_s: float,
    machine: str | None,
    database_url: str = "",
    *,
    measured: bool,
    constants: bool,
) -> int:
    """Prints one table, each row as soon as it is known."""
    if not 0 < mean_s < math.inf:
        raise ConfigError(f"--seconds is {mean_s:g}; it must be a finite number above 0")
    patterns: Sequence[Pattern] = PATTERNS
    if arrivals:
        patterns = [_pattern(one) for one in arrivals]
    needed = measured or machine is not None
    settings = environment.settings(database_url) if needed else None
    kind = _machine(settings, machine) if settings and machine else tables.COMMON
    service = RunTimes(mean_s, mean_s * _MEDIAN)
    if settings and measured:
        service = RunTimes(measured_s=asyncio.run(_measured(settings)))
    if constants:
        at = volumes[0] if volumes else _CONSTANTS_AT
        for line in tables.constants_table(kind, service, at):
            print(line, flush=True)
        return 0
    print(tables.heading())
    for row in tables.loads_table(kind, service, volumes or tables.VOLUMES, patterns):
        print(tables.line(row), flush=True)
    return 0


def _pattern(word: str) -> Pattern:
    for pattern in PATTERNS:
        if word == pattern:
            return pattern
    raise ConfigError(f"--arrivals is {word!r}; it must be one of {', '.join(PATTERNS)}")


def _machine(settings: Settings, name: str) -> MachineClass:
    known = classes.read(settings.machines).classes
    found = classes.named(known, name)
    if found is None:
        names = ", ".join(one.name for one in known)
        raise ConfigError(f"MECAPY_MACHINES has no class {name!r}, only {names}")
    return found


async def _measured(settings: Settings) -> list[float]:
    async with database.opened(settings.database_url, settings.database_pooler) as db:
        found = await history.run_times_s(db)
    if not found:
        raise ConfigError("no task has run on this stack; leave out --measured")
    return found
