"""Combines probes into one health report. Knows no database and no queue: each server passes its
probes as functions. Shows no address, path or secret, because `/readyz` needs no token.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from mecapy_jupyter.wire import Json

_log = structlog.get_logger()

OK, UNKNOWN = "ok", "unknown"
CLOCK_S = 30.0
"""How much clocks may differ. Leases use PostgreSQL's time, but the queue's order, logs and S3's
signatures use each host's.
"""
LOW_BYTES = 50_000_000
"""With less free space a disk counts as full, because a task could not store its result."""
PROBE_TIMEOUT_S, CACHED_S = 3.0, 2.0


@dataclass(frozen=True, slots=True)
class Check:
    """`state` is one word, "ok" or what is wrong; `advice` a sentence with what to do."""

    name: str
    state: str = OK
    advice: str = ""

    @property
    def ok(self) -> bool:
        return self.state == OK


@dataclass(frozen=True, slots=True)
class Probed:
    """The result of one probe. `clock_ahead_s`: how far this host's clock is ahead of the server's,
    None: not known.
    """

    checks: tuple[Check, ...]
    clock_ahead_s: float | None = None


Probe = Callable[[], Awaitable[Probed]]


@dataclass(frozen=True, slots=True)
class HealthReport:
    """`needs`: the parts without which this process cannot do its job; `clock_ahead_s`: by the
    server whose clock was read, "PostgreSQL" or "Redis".
    """

    checks: tuple[Check, ...] = ()
    needs: frozenset[str] = frozenset()
    clock_ahead_s: Mapping[str, float | None] = field(default_factory=dict[str, float | None])

    @property
    def ready(self) -> bool:
        return all(check.ok for check in self.checks if check.name in self.needs)

    @property
    def wrong(self) -> dict[str, Check]:
        """The parts that are not as they should be, by name."""
        return {c.name: c for c in self.checks if not c.ok and c.state != UNKNOWN}

    def as_json(self, *, verbose: bool = True) -> dict[str, Json]:
        answer: dict[str, Json] = {"status": OK if self.ready else "unavailable"}
        if verbose:
            answer["parts"] = {check.name: check.state for check in self.checks}
            answer["advice"] = {check.name: check.advice for check in self.checks if check.advice}
        return answer


class Health:
    """Probes at most every `CACHED_S`, because the addresses need no token. `clocks`: probes of
    servers with a clock, by server name. `logged`: a line whenever what is wrong changes.
    """

    def __init__(
        self,
        needs: frozenset[str],
        clocks: Mapping[str, Probe],
        others: Sequence[Probe] = (),
        local: Callable[[], Sequence[Check]] = tuple,
        *,
        logged: bool = False,
    ) -> None:
        self._needs, self._clocks, self._others, self._local = needs, clocks, others, local
        self._logged = logged
        self._probing = asyncio.Lock()
        self._report, self._at_s = HealthReport(), -CACHED_S

    async def report(self) -> HealthReport:
        async with self._probing:
            if time.monotonic() - self._at_s >= CACHED_S:
                await self._look()
                self._at_s = time.monotonic()
            return self._report

    async def log_what_is_wrong(self) -> None:
        """Later callers get a new look."""
        async with self._probing:
            await self._look()

    async def _look(self) -> None:
        probes = (*self._clocks.values(), *self._others)
        found = await asyncio.gather(*(probe() for probe in probes))
        ahead_s = {
            name: probed.clock_ahead_s for name, probed in zip(self._clocks, found, strict=False)
        }
        checks = [check for probed in found for check in probed.checks]
        report = HealthReport((*checks, check_clock(ahead_s), *self._local()), self._needs, ahead_s)
        if self._logged:
            _log_change(self._report.wrong, report.wrong)
        self._report = report


def _log_change(before: Mapping[str, Check], now: Mapping[str, Check]) -> None:
    states = {name: check.state for name, check in now.items()}
    if states == {name: check.state for name, check in before.items()}:
        return
    advice = {name: check.advice for name, check in now.items()}
    (_log.warning if now else _log.info)("health", wrong=states, advice=advice)


def check_clock(ahead_s: Mapping[str, float | None]) -> Check:
    """Finds the wrong clock: this host's if all others agree, otherwise the one that differs."""
    off = {name: s for name, s in ahead_s.items() if s is not None and abs(s) > CLOCK_S}
    if not off:
        return Check("clock")
    name, s = next(iter(off.items()))
    alone = len(off) == 1 and len(ahead_s) > 1 and None not in ahead_s.values()
    culprit = f"{name}'s host" if alone else "this host"
    ahead = f"{abs(s):.0f} s {'ahead of' if s > 0 else 'behind'} {name}"
    return Check(
        "clock",
        "wrong",
        f"this host's clock is {ahead}: set the clock of {culprit} right (NTP)",
    )
