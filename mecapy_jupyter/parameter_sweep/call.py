"""`sweep`: runs a function at all points of a design, and returns the table."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from mecapy_jupyter import wire
from mecapy_jupyter.block import notes
from mecapy_jupyter.capture import packing
from mecapy_jupyter.client import config, gateway_api, requirements, result_cache
from mecapy_jupyter.client.call_options import CallOptions
from mecapy_jupyter.client.chunk_size import CallTimesByFunction
from mecapy_jupyter.client.client import Client
from mecapy_jupyter.client.mapping import name_of
from mecapy_jupyter.parameter_sweep import design as designs
from mecapy_jupyter.parameter_sweep.chunk import PointResult
from mecapy_jupyter.parameter_sweep.points import Point, SweepPlan, plan
from mecapy_jupyter.parameter_sweep.progress import Display
from mecapy_jupyter.parameter_sweep.run import Run
from mecapy_jupyter.remote_function import client_of, plain
from mecapy_jupyter.shared import errors

if TYPE_CHECKING:
    from mecapy_jupyter.parameter_sweep.table import SweepTable

_NEWEST = 8
_call_times = CallTimesByFunction()


def sweep(
    fn: Callable[..., Any],
    *,
    name: str | None = None,
    on_error: Literal["record", "raise"] = "record",
    again: bool = False,
    seed: int | None = None,
    design: Any = None,
    samples: int | None = None,
    client: Client | None = None,
    **axes: Any,
) -> SweepTable:
    """Call `fn` on the pool at each point of a grid, and return a DataFrame: inputs, outputs (a
    dict or dataclass becomes columns), seconds, error, task, worker.

        table = sweep(beam, L=[0.5, 1.0, 1.5], d=np.linspace(0.01, 0.03, 9), F=500, name="beam")

    A second call with the same `name` (default: the function's) runs only points that are new, have
    failed, or whose function, helpers, arguments or package versions have changed; `again=True`
    runs all. Points run on if this kernel ends; `sweeps[name].table()` shows them from any kernel.

    on_error : "record" puts a point's error into the table, "raise" ends the sweep with it.
    seed : each point gets its own `numpy.random.Generator` as `rng`, whatever the order.
    design : a DataFrame of points, or a sampler of `scipy.stats.qmc`, which draws `samples` points
        between bounds: `sweep(beam, design=qmc.Sobol(2, seed=1), samples=64, L=(0.5, 1.5), …)`.
    """
    if on_error not in ("record", "raise"):
        raise ValueError(f"on_error={on_error!r} must be 'record' or 'raise'")
    called, options = plain(fn)
    client = client or client_of(config.resolve())
    client.accepts()
    call = CallOptions().changed(options)
    there = result_cache.versions(client.gateway)
    added = requirements.merged(requirements.default, call.packages)
    made = plan(called, designs.of(axes, design, samples), seed, there, added)
    name = name or call.name or name_of(called)
    for remark in made.remarks:
        notes.say(f"sweep {name}: {remark}")
    made.about["started"] = datetime.now(UTC).isoformat(timespec="seconds")
    slots = sum(worker.slots for worker in gateway_api.workers(client.gateway))
    run = Run(client, name, made, call, packing.main_namespace(), max(1, slots))
    run.call_time = _call_times.of(called)
    return _finished(run, on_error == "raise", again)


def _finished(run: Run, raises: bool, again: bool) -> SweepTable:
    newest: list[tuple[Point, PointResult]] = []
    display = Display(run.name, lambda: _table(run.plan, newest, {}))
    by_key = {point.key: point for point in run.plan.points}
    try:
        run.begin(again)
        while not run.ended:
            if run.state == "running":
                run.send()
                display.sent(run.sent_bytes, run.reused_bytes)
            landed = run.wait()
            newest[:] = [*newest, *((by_key[key], it) for key, it in landed.items())][-_NEWEST:]
            display.show(run.progress())
            if raises:
                _raise_first(run.plan, landed)
    except BaseException as error:
        stopped = isinstance(error, KeyboardInterrupt)
        _cancel(run)
        state: wire.State = wire.CANCELLED if stopped else wire.FAILED
        display.end(state, run.progress(), "" if stopped else type(error).__name__)
        if not stopped:
            run.tell()
        raise
    display.end(wire.COMPLETED, run.progress())
    run.tell()
    rows = [(point, run.results.get(point.key)) for point in run.plan.points]
    return _table(run.plan, rows, {"sweep": run.name} | run.plan.about)


def _cancel(run: Run) -> None:
    """What was sent; results that there are stay."""
    with contextlib.suppress(errors.MecapyError):  # the error that ended it explains more
        gateway_api.change_sweep(run.client.gateway, run.name, "cancel")


def _raise_first(plan: SweepPlan, landed: dict[str, PointResult]) -> None:
    for point in plan.points:
        result = landed.get(point.key)
        if result is not None and result.error is not None:
            given = zip(plan.names, point.arguments, strict=True)
            result.error.add_note("at " + ", ".join(f"{name}={value!r}" for name, value in given))
            raise result.error


def _table(
    plan: SweepPlan, found: Iterable[tuple[Point, PointResult | None]], about: wire.JsonObject
) -> SweepTable:
    from mecapy_jupyter.parameter_sweep.table import table

    return table(plan.names, [(point.arguments, result) for point, result in found], about)
