"""A task that ran out of memory goes to the next larger class of machines, where there is one."""

from __future__ import annotations

from mecapy_backend.fleet import classes, router
from mecapy_backend.fleet.router import Placement
from mecapy_backend.store import tasks
from mecapy_jupyter import wire
from mecapy_jupyter.shared.errors import ConfigError
from mecapy_jupyter.shared.units import size
from mecapy_worker.context import Context
from mecapy_worker.log import log

MOST = 2
MEMORY = "memory"


def next_place(
    work: Context, started: tasks.StartedAttempt, outcome: wire.Outcome, peak_bytes: int
) -> Placement | None:
    """The cheapest class that gives a task at least twice what it was seen to use; None: it did not
    run out of memory, has moved often enough, or there is none.
    """
    if not _ran_out(outcome.error) or started.earlier.count(MEMORY) >= MOST:
        return None
    try:
        known = classes.read(work.settings.machines).classes
    except ConfigError as problem:
        log.warning("no larger machine", task=started.task_id, why=str(problem))
        return None
    used_bytes = max(peak_bytes, work.settings.max_memory_bytes)
    larger = router.next_larger(work.settings.machine_class, 2 * used_bytes, known)
    if larger is None:
        return None
    why = f"out of memory at {size(used_bytes)} on {work.settings.machine_class}"
    return router.placed(larger, why)


def _ran_out(error: wire.ErrorInfo | None) -> bool:
    """Stopped for its memory, or refused more of it: then the cell raised MemoryError."""
    return error is not None and (error.kind == MEMORY or error.type == "MemoryError")
