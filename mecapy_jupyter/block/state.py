"""What the live block knows of a task, and how events change it.

Pure functions over one frozen dataclass; times are seconds of any steady clock that the caller
passes in as `now_s`. What events say is untrusted here: numbers are checked, text is cleaned.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from mecapy_jupyter import wire
from mecapy_jupyter.block.sparkline import NOTHING, Trail, noted
from mecapy_jupyter.shared.units import clean, number

Phase = Literal[
    "sending", "queued", "running", "returning", "completed", "failed", "cancelled", "detached"
]


@dataclass(frozen=True, slots=True)
class BlockState:
    """All a block shows. `since_s`: when the phase began; `seconds`: of running, after its end."""

    name: str = ""
    task_id: str = ""
    phase: Phase = "sending"
    since_s: float = 0.0
    position: int = 0  # 1 is next; 0: not known
    waiting: int = 0  # how many wait in all; 0: not known
    eta_s: float | None = None
    sent_bytes: int = 0
    reused_bytes: int = 0
    worker: str = ""
    attempt: int = 1
    expected_s: float | None = None  # how long this cell ran the last times
    cpu_percent: float | None = None
    memory_bytes: float | None = None
    memory_limit_bytes: float | None = None
    memory_trail: Trail = NOTHING
    fraction: float | None = None
    note: str = ""  # what the task says of its progress
    seconds: float = 0.0
    stopped_s: float | None = None  # how long its end took, once it was told to stop
    error: str = ""
    error_line: int | None = None
    came_back: tuple[str, ...] = ()


def advance(state: BlockState, event: wire.Event, now_s: float) -> BlockState:
    """The state after an event of the task's log. Events that the block does not show leave it as
    it is.
    """
    data = event.data
    match event.type:
        case wire.QUEUED:
            return _queued(state, data, now_s)
        case wire.STARTED:
            return _started(state, data, now_s)
        case wire.PROGRESS:
            fraction = number(data.get("fraction"))
            return replace(
                state,
                fraction=None if fraction is None else min(fraction, 1.0),
                note=clean(data.get("text") or "", 60),
            )
        case wire.USAGE:
            return _used(state, data)
        case wire.COMPLETED | wire.FAILED | wire.CANCELLED if state.phase not in wire.FINAL:
            ran = number(data.get("seconds"))
            return replace(
                state,
                phase="returning",
                since_s=now_s,
                seconds=_ran(state, now_s) if ran is None else ran,
            )
        case _:
            return state


def _queued(state: BlockState, data: dict[str, Any], now_s: float) -> BlockState:
    since_s = state.since_s if state.phase == "queued" else now_s
    position, waiting = int(number(data.get("position")) or 0), int(number(data.get("of")) or 0)
    return replace(
        state,
        phase="queued",
        since_s=since_s,
        position=position,
        waiting=waiting,
        eta_s=number(data.get("eta_s")),
    )


def _started(state: BlockState, data: dict[str, Any], now_s: float) -> BlockState:
    attempt, worker = int(number(data.get("attempt")) or 1), clean(data.get("worker") or "", 24)
    limit = number(data.get("memory_limit_bytes"))
    fresh = replace(
        state, fraction=None, note="", cpu_percent=None, memory_bytes=None, memory_trail=NOTHING
    )
    return replace(
        fresh,
        phase="running",
        since_s=now_s,
        worker=worker,
        attempt=attempt,
        memory_limit_bytes=limit,
    )


def _used(state: BlockState, data: dict[str, Any]) -> BlockState:
    memory = number(data.get("memory_bytes"))
    trail = state.memory_trail if memory is None else noted(state.memory_trail, memory)
    return replace(
        state, cpu_percent=number(data.get("cpu_percent")), memory_bytes=memory, memory_trail=trail
    )


def _ran(state: BlockState, now_s: float) -> float:
    return now_s - state.since_s if state.phase == "running" else state.seconds


def finished(
    state: BlockState, outcome: wire.Outcome, came_back: list[str], now_s: float
) -> BlockState:
    """The state once everything is home (`came_back`: the names, as they shall read)."""
    error = outcome.error
    return replace(
        state,
        phase="failed" if outcome.state not in wire.FINAL else outcome.state,
        since_s=now_s,
        seconds=outcome.seconds or _ran(state, now_s),
        stopped_s=outcome.stopped_s,
        error=clean(error.type, 60) if error else "",
        error_line=error.line if error else None,
        came_back=tuple(came_back),
    )
