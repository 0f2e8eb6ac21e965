"""My sweeps as a table, and one of them: its points as a field of squares, its tasks, and to pause,
resume and cancel it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from starlette.responses import Response

from mecapy_backend.api.routes import sweeps as sweep_routes
from mecapy_backend.page import answers
from mecapy_backend.page.door import Visit
from mecapy_backend.store import sweeps
from mecapy_jupyter import wire

_SQUARES, _ROW = 2000, 50
_TASKS = 200
_NOT_SENT = "not sent yet"
# Of points that share a square, the one that needs looking at most stands for all.
_FIRST = (wire.FAILED, wire.RUNNING, wire.QUEUED, wire.BLOCKED, _NOT_SENT, wire.CANCELLED)


@dataclass(frozen=True, slots=True)
class Square:
    x: int
    y: int
    state: str
    title: str


async def listed(visit: Visit) -> Response:
    return visit.page("sweeps.html", sweeps=await sweeps.of_owner(visit.services.db, visit.owner))


async def shown(visit: Visit) -> Response:
    sweep = await sweep_routes.found(visit.services, visit.owner, _name(visit))
    states = states_of(sweep)
    each = max(1, -(-len(states) // _SQUARES))
    counts = Counter(states)
    return visit.page(
        "sweep.html",
        sweep=sweep,
        counts=counts,
        ended=sum(counts[state] for state in wire.FINAL),
        squares=squares(states, each),
        each=each,
        rows=-(-len(states) // each // _ROW) + 1,
        tasks=sweep.tasks[: -_TASKS - 1 : -1],
    )


async def pause(visit: Visit) -> Response:
    return await _changed(visit, "paused")


async def resume(visit: Visit) -> Response:
    return await _changed(visit, "running")


async def cancel(visit: Visit) -> Response:
    return await _changed(visit, "cancelled")


async def _changed(visit: Visit, state: wire.SweepState) -> Response:
    await sweep_routes.changed(visit.services, visit.owner, _name(visit), state)
    return answers.to("/page/sweeps")


def _name(visit: Visit) -> str:
    return visit.request.path_params["name"].replace("\0", "")


def states_of(sweep: wire.SweepStatus) -> list[str]:
    """The state of each point, in their order: that of the last task that computes it."""
    known = {point: task.status for task in sweep.tasks for point in task.points}
    return [known.get(point, _NOT_SENT) for point in sweep.points]


def squares(states: list[str], each: int) -> list[Square]:
    """One for `each` points."""
    drawn = list[Square]()
    for at in range(0, len(states), each):
        part = states[at : at + each]
        state = next((one for one in _FIRST if one in part), part[0])
        place = len(drawn)
        points = f"point {at + 1}" if each == 1 else f"points {at + 1} to {at + len(part)}"
        drawn.append(Square(place % _ROW, place // _ROW, state, f"{points}: {state}"))
    return drawn
