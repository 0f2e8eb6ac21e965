"""What the live block knows of a task, and how events change it. Pure functions over one frozen
dataclass; times are seconds of any steady clock, which the caller passes as `now_s`. Events are
untrusted here: numbers are checked, text is cleaned.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from mecapy_jupyter import wire
from mecapy_jupyter.block.sparkline import NO_PEAKS, Peaks, with_value
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
    waits_for: str = ""  # tasks whose results it needs
    why_there: str = ""  # which class of machines it goes to, where that is not the pool
    estimate: str = ""  # what its code's history lets expect
    sent_bytes: int = 0
    reused_bytes: int = 0
    worker: str = ""
    one_host: bool = False  # the worker's name is not needed
    attempt: int = 1
    expected_s: float | None = None  # how long this cell ran the last times
    limit_s: float = 0.0  # it is stopped after this run time; 0: not known
    cpu_percent: float | None = None
    memory_bytes: float | None = None
    memory_limit_bytes: float | None = None
    memory_peaks: Peaks = NO_PEAKS
    fraction: float | None = None
    note: str = ""  # what the task says of its progress
    seconds: float = 0.0
    stopped_s: float | None = None  # how long its end took, from the request to stop
    error: str = ""
    error_line: int | None = None
    came_back: tuple[str, ...] = ()


def advance(state: BlockState, event: wire.Event, now_s: float) -> BlockState:
    """The state after an event of the task's log. Events that the block does not show leave it as
    it is.
    """
    match event.body:
        case wire.QueuedEvent() as queued:
            return _queued(state, queued, now_s)
        case wire.StartedEvent() as started:
            return _started(state, started, now_s)
        case wire.ProgressEvent(fraction, text):
            checked = number(fraction)
            return replace(
                state, fraction=None if checked is None else min(checked, 1.0), note=clean(text, 60)
            )
        case wire.LimitEvent(timeout_s):
            return replace(state, limit_s=number(timeout_s) or state.limit_s)
        case wire.UsageEvent() as usage:
            return _used(state, usage)
        case wire.Outcome(seconds=seconds) if state.phase not in wire.FINAL:
            ran_s = number(seconds) or _ran(state, now_s)
            return replace(state, phase="returning", since_s=now_s, seconds=ran_s)
        case _:
            return state


def _queued(state: BlockState, queued: wire.QueuedEvent, now_s: float) -> BlockState:
    return replace(
        state,
        phase="queued",
        since_s=state.since_s if state.phase == "queued" else now_s,
        position=int(number(queued.position) or 0),
        waiting=int(number(queued.of) or 0),
        eta_s=number(queued.eta_s),
        waits_for=clean(queued.waits_for, 100),
        why_there=clean(queued.why_there, 200) or state.why_there,
        estimate=clean(queued.estimate, 60) or state.estimate,
        expected_s=number(queued.estimate_s) or state.expected_s,
    )


def _started(state: BlockState, started: wire.StartedEvent, now_s: float) -> BlockState:
    fresh = replace(
        state, fraction=None, note="", cpu_percent=None, memory_bytes=None, memory_peaks=NO_PEAKS
    )
    return replace(
        fresh,
        phase="running",
        since_s=now_s,
        worker=clean(started.worker, 24),
        attempt=int(number(started.attempt) or 1),
        memory_limit_bytes=number(started.memory_limit_bytes),
        limit_s=number(started.timeout_s) or 0.0,
        why_there=clean(started.why_there, 100) or state.why_there,
    )


def _used(state: BlockState, usage: wire.UsageEvent) -> BlockState:
    memory = number(usage.memory_bytes)
    peaks = state.memory_peaks if memory is None else with_value(state.memory_peaks, memory)
    return replace(
        state, cpu_percent=number(usage.cpu_percent), memory_bytes=memory, memory_peaks=peaks
    )


def _ran(state: BlockState, now_s: float) -> float:
    return now_s - state.since_s if state.phase == "running" else state.seconds


def finished(
    state: BlockState, outcome: wire.Outcome, came_back: list[str], now_s: float
) -> BlockState:
    """The state after the results have arrived (`came_back`: the names as they are shown)."""
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
