"""What the sidebar shows: the user's tasks and sweeps over all notebooks, the queue, the pool and
what is used. One answer serves all open pages for a second.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path

from mecapy_jupyter import wire
from mecapy_jupyter.cells import history
from mecapy_jupyter.client import gateway_api
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.commands.status import used
from mecapy_jupyter.wire import JsonObject

_TASKS, _SWEEPS, _CACHED_S = 50, 10, 1.0
_SHOWN = ("task_id", "name", "status", "position", "eta_s", "why_there")
_TIMES = ("created_at", "started_at", "completed_at")
_last: tuple[float, Gateway, JsonObject] | None = None


def overview(gateway: Gateway, root: str) -> JsonObject:
    """`root`: the Jupyter server's, to which the page names notebooks."""
    global _last
    if _last is None or _last[1] is not gateway or time.monotonic() - _last[0] > _CACHED_S:
        _last = time.monotonic(), gateway, _overview(gateway, root)
    return _last[2]


def _overview(gateway: Gateway, root: str) -> JsonObject:
    me, sweeps = gateway_api.me(gateway), gateway_api.sweeps(gateway)[:_SWEEPS]
    tasks: list[wire.Json] = [_task(task, root) for task in gateway_api.tasks(gateway, _TASKS)]
    shown: list[wire.Json] = [
        {"name": one.name, "state": one.state, "point_count": one.point_count} for one in sweeps
    ]
    return {
        "url": gateway.url,
        "user": me.name or me.owner,
        "queued": me.queued,
        "running": me.running,
        "pool": _pool(gateway_api.workers(gateway)),
        "used": used(me.quotas),
        "tasks": tasks,
        "sweeps": shown,
    }


def _task(task: wire.TaskStatus, root: str) -> JsonObject:
    shown = task.as_json()
    cell, notebook = history.place_of(task.task_id)
    below = os.path.relpath(notebook, Path(root).expanduser()) if notebook else ".."
    place: JsonObject = {} if below.startswith("..") else {"cell": cell, "notebook": below}
    return {name: shown[name] for name in (*_SHOWN, *_TIMES) if shown.get(name) is not None} | place


def _pool(workers: Sequence[wire.WorkerInfo]) -> str:
    slots, busy = sum(one.slots for one in workers), sum(one.running or 0 for one in workers)
    if not workers:
        return "no worker: tasks wait until one starts"
    plural = "" if len(workers) == 1 else "s"
    return f"{len(workers)} worker{plural}, {busy} of {slots} places taken"
