"""A chunk: some points of a sweep in one task. Each point's exception stands in the place of its
result, so only a task that dies loses more than one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from mecapy_jupyter import wire
from mecapy_jupyter.client import gateway_api, submission
from mecapy_jupyter.client.call_options import CallOptions
from mecapy_jupyter.client.client import Client
from mecapy_jupyter.client.task import Task
from mecapy_jupyter.parameter_sweep.points import Point
from mecapy_jupyter.results import bind
from mecapy_jupyter.shared import errors

_NAMES, _SEEDS = "_mecapy_names", "_mecapy_seeds"
_RESULTS, _FAILED, _SECONDS = "_mecapy_results", "_mecapy_failed", "_mecapy_seconds"
_CODE = f"""import time as _mecapy_time
{_RESULTS}, {_FAILED}, {_SECONDS} = [], [], []
for _mecapy_call, _mecapy_seed in zip({wire.CALLS}, {_SEEDS}):
    _mecapy_began = _mecapy_time.perf_counter()
    try:
        _mecapy_given = dict(zip({_NAMES}, _mecapy_call))
        if _mecapy_seed is not None:
            from numpy import random as _mecapy_random
            _mecapy_given["rng"] = _mecapy_random.default_rng(_mecapy_random.SeedSequence(
                _mecapy_seed[0], spawn_key=_mecapy_seed[1:]))
        {_RESULTS}.append({wire.CALLED}(**_mecapy_given))
    except Exception as _mecapy_error:
        {_FAILED}.append(len({_RESULTS}))
        {_RESULTS}.append(_mecapy_error)
    {_SECONDS}.append(_mecapy_time.perf_counter() - _mecapy_began)"""


@dataclass(frozen=True, slots=True)
class PointResult:
    """`error` None: `value` is what the function returned. `lost`: the task ended without this
    point, perhaps because of another.
    """

    value: Any = None
    error: BaseException | None = None
    seconds: float | None = None
    task_id: str = ""
    worker: str = ""
    ended: datetime | None = None
    lost: bool = False


@dataclass(frozen=True, slots=True)
class Sent:
    """The points of a chunk as they were sent."""

    fn: Callable[..., Any]
    names: tuple[str, ...]
    points: Sequence[Point]


def submit(
    client: Client, sweep: str, sent: Sent, options: CallOptions, namespace: dict[str, Any]
) -> Task:
    """One task for these points, which nobody follows."""
    values = {
        wire.CALLED: sent.fn,
        _NAMES: sent.names,
        wire.CALLS: [point.arguments for point in sent.points],
        _SEEDS: [point.seed for point in sent.points],
    }
    request = options.request(
        _CODE, f"{sweep}{wire.TIMES}{len(sent.points)}", (_RESULTS, _FAILED, _SECONDS)
    )
    keys = tuple(point.key for point in sent.points)
    request = replace(request, sweep=sweep, points=keys, notify=())
    ready = submission.prepared(client.gateway, request, values, namespace)
    return client.submit_prepared(ready, followed=False)


def sent_by(task: Task, keys: Sequence[str]) -> Sent | None:
    """What a task of another kernel was sent, once it is attached. None if it is not ours."""
    given = task.inputs
    if not {wire.CALLED, _NAMES, wire.CALLS, _SEEDS} <= given.keys():
        return None
    triples = zip(keys, given[wire.CALLS], given[_SEEDS], strict=False)
    points = [Point(key, tuple(arguments), seed) for key, arguments, seed in triples]
    return Sent(given[wire.CALLED], tuple(given[_NAMES]), points)


def results(client: Client, task: Task, member: wire.SweepTask) -> dict[str, PointResult]:
    """The result of each of its points, by key, once it has ended. A point without a result has the
    reason why the task ended as its error.
    """
    outcome = gateway_api.outcome(client.gateway, task.id)
    home = task.open(outcome)
    bound: Mapping[str, Any] = home.bound
    values: list[Any] = bound.get(_RESULTS, [])
    failed, seconds = set[int](bound.get(_FAILED, [])), list[float](bound.get(_SECONDS, []))
    where = (task.id, member.worker or "", member.completed_at)
    found: dict[str, PointResult] = {}
    for number, (key, value) in enumerate(zip(member.points, values, strict=False)):
        took = seconds[number] if number < len(seconds) else None
        error = value if number in failed else None
        found[key] = PointResult(None if error else value, error, took, *where)
    if missing := member.points[len(values) :]:
        why = _why(outcome, home)
        found |= {key: PointResult(None, why, None, *where, True) for key in missing}
    return found


def _why(outcome: wire.Outcome, home: bind.Home) -> BaseException:
    if outcome.state != wire.COMPLETED:
        return bind.raised(outcome, home)
    reason = home.left.get(_RESULTS, "its task gave no reason")
    return errors.CannotReceive(f"the result cannot travel home: {reason}")
