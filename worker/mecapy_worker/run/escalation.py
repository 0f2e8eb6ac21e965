"""A task that ran out of memory, or with `--escalate` of time, goes to the next larger class of
machines, where there is one.
"""

from __future__ import annotations

from mecapy_backend.fleet import classes, router
from mecapy_backend.fleet.router import Placement
from mecapy_backend.shared.settings import Settings
from mecapy_backend.store import tasks
from mecapy_jupyter import wire
from mecapy_jupyter.shared.errors import ConfigError
from mecapy_jupyter.shared.units import size, spelled
from mecapy_worker.context import Context
from mecapy_worker.log import log

MOST = 2
MEMORY, TIME = "memory", "timeout"


def next_place(
    work: Context, started: tasks.StartedAttempt, outcome: wire.Outcome, peak_bytes: int
) -> tuple[str, Placement] | None:
    """Why it goes on, and where: the cheapest class with at least twice the memory that it was seen
    to use, or with more processors. None: it ran out of neither, has moved often enough, or there
    is none.
    """
    why = _ran_out_of(started, outcome.error)
    if not why or sum(started.earlier.count(each) for each in (MEMORY, TIME)) >= MOST:
        return None
    try:
        known = classes.read(work.settings.machines).classes
    except ConfigError as problem:
        log.warning("no larger machine", task=started.task_id, why=str(problem))
        return None
    here, larger = work.settings.machine_class, None
    if why == MEMORY:
        used_bytes = max(peak_bytes, work.settings.max_memory_bytes)
        larger = router.next_larger(here, 2 * used_bytes, known)
        said = f"out of memory at {size(used_bytes)} on {here}"
    else:
        larger = router.next_faster(here, known)
        said = f"out of time after {spelled(outcome.seconds)} on {here}"
    return (why, router.placed(larger, said)) if larger else None


def allowed_s(settings: Settings, started: tasks.StartedAttempt) -> float:
    """How long an attempt may run: twice as long each time it went on for want of time."""
    timeout_s = started.request.timeout
    if not started.request.escalate:
        return timeout_s
    more = min(started.earlier.count(TIME), MOST)
    return max(timeout_s, min(timeout_s * 2**more, settings.max_timeout_s))


def _ran_out_of(started: tasks.StartedAttempt, error: wire.ErrorInfo | None) -> str:
    """Stopped for its memory, or refused more of it: then the cell raised MemoryError."""
    if error is None:
        return ""
    if error.kind == MEMORY or error.type == "MemoryError":
        return MEMORY
    return TIME if error.kind == TIME and started.request.escalate else ""
