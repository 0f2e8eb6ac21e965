"""What `mecapy fleet simulate` prints: a row per load, or per value of a constant."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from mecapy_backend.fleet.classes import MachineClass
from mecapy_backend.fleet.policy import POLICY
from mecapy_backend.fleet.simulation.loads import DAY_S, PATTERNS, Load, Pattern, RunTimes
from mecapy_backend.fleet.simulation.simulate import SimulationResult, simulate

VOLUMES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
GUESSED = {1_000: 3, 10_000: 10, 100_000: 50}
"""Machines by the first plan."""

COMMON = MachineClass(
    "pool", cpus=3, slots=2, price=0.0202, provider="local", min=3, max=10, boot_s=60.0,
    billing="hour",
)  # fmt: skip
"""The machine of the tables: two tasks at once, €14.74 a month, billed by the hour."""

_MOST_TASKS, _FEW_TASKS, _MOST_DAYS = 1_200_000, 20_000, 10.0
_SHORT_SPAN_S = 1800.0
VARIED: dict[str, Sequence[float]] = {
    "target_wait_s": (15, 60, 240),
    "votes": (1, 12, 60),
    "headroom": (0, 0.25, 1),
    "leave": (0.05, 0.25, 1),
    "paid_margin_s": (60, 240, 3600),
}


@dataclass(frozen=True, slots=True)
class SimulatedRow:
    tasks_a_day: int
    pattern: Pattern
    span_s: float
    most: int  # machines allowed
    found: SimulationResult


def span_s(tasks_a_day: int) -> float:
    """Days enough for a p99; no longer than there is patience for."""
    days = min(_MOST_DAYS, max(1.0, _FEW_TASKS / tasks_a_day))
    return days * DAY_S if days * tasks_a_day <= _MOST_TASKS else _SHORT_SPAN_S


def machines_for(machines: MachineClass, tasks_a_day: int, service: RunTimes) -> MachineClass:
    """The class with room for three times the mean load: a fleet without a limit buys machines for
    every burst.
    """
    needed = tasks_a_day / DAY_S * service.expected_s / machines.slots
    return replace(machines, max=max(machines.max, math.ceil(3 * needed)))


def loads_table(
    machines: MachineClass,
    service: RunTimes,
    volumes: Sequence[int] = VOLUMES,
    patterns: Sequence[Pattern] = PATTERNS,
) -> Iterator[SimulatedRow]:
    for tasks_a_day in volumes:
        enough = machines_for(machines, tasks_a_day, service)
        for pattern in patterns:
            load = Load(tasks_a_day, pattern, span_s(tasks_a_day), service)
            found = simulate(load, enough, POLICY)
            yield SimulatedRow(tasks_a_day, pattern, load.span_s, enough.max, found)


_LOADS = "{:>11}  {:9}  {:>8}  {:>8}  {:>8}  {:>11}  {:>7}  {:>5}"
_CONSTANTS = "{:13}  {:>10}  {:>8}  {:>7}  {:>8}  {:>7}  {:>6}"


def heading() -> str:
    """`p50`, `p99`: of the waits, in seconds."""
    columns = ("tasks a day", "arrivals", "p50", "p99", "machines", "machine h/d", "€/month")
    return _LOADS.format(*columns, "guess")


def line(row: SimulatedRow) -> str:
    found = row.found
    whole_days = row.span_s >= DAY_S
    return _LOADS.format(
        f"{row.tasks_a_day:,}",
        row.pattern,
        seconds(found.percentile(0.5)),
        seconds(found.percentile(0.99)),
        found.most_machines,
        f"{found.hours * DAY_S / row.span_s:,.0f}",
        f"{found.euros:,.0f}" if whole_days or row.pattern == "steady" else "–",
        GUESSED.get(row.tasks_a_day, ""),
    ).rstrip()


def constants_table(machines: MachineClass, service: RunTimes, tasks_a_day: int) -> Iterator[str]:
    """What each constant of the policy does, the others as they are, on a day with its night and on
    a day of bursts (`b.`).
    """
    yield _CONSTANTS.format("constant", "value", "p99", "€/month", "p99, b.", "€, b.", "starts")
    enough = machines_for(machines, tasks_a_day, service)
    for name, values in VARIED.items():
        for value in values:
            policy = replace(POLICY, **{name: int(value) if name == "votes" else value})
            quiet, rough = (
                simulate(Load(tasks_a_day, pattern, DAY_S, service), enough, policy)
                for pattern in ("day-night", "bursts")
            )
            mark = " (set)" if value == getattr(POLICY, name) else ""
            yield _CONSTANTS.format(
                name,
                f"{value:g}{mark}",
                seconds(quiet.percentile(0.99)),
                f"{quiet.euros:,.0f}",
                seconds(rough.percentile(0.99)),
                f"{rough.euros:,.0f}",
                rough.started,
            )


def seconds(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:,.0f}"
