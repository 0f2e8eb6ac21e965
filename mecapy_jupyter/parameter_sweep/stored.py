"""`sweeps`: the sweeps that the gateway keeps, from any kernel and on any day."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mecapy_jupyter import wire
from mecapy_jupyter.client import config, gateway_api
from mecapy_jupyter.client.call_options import CallOptions
from mecapy_jupyter.client.client import Client
from mecapy_jupyter.client.task import Task
from mecapy_jupyter.parameter_sweep import chunk
from mecapy_jupyter.parameter_sweep.chunk import PointResult, Sent
from mecapy_jupyter.parameter_sweep.design import Arguments
from mecapy_jupyter.parameter_sweep.progress import Progress, eta_s
from mecapy_jupyter.parameter_sweep.run import MOST_TASKS
from mecapy_jupyter.remote_function import client_of
from mecapy_jupyter.shared import errors

if TYPE_CHECKING:
    from mecapy_jupyter.parameter_sweep.table import SweepTable

_MOST_SHOWN = 20


class Sweep:
    """A sweep as the gateway keeps it: `sweeps["name"]`."""

    def __init__(self, client: Client, name: str) -> None:
        self.name = name
        self._client = client

    def __repr__(self) -> str:
        return f"<Sweep {self.name!r}: {self.progress}>"

    def table(self) -> SweepTable:
        """The points in order, with the results so far."""
        from mecapy_jupyter.parameter_sweep.table import table

        status = self._status()
        stored = _Stored(self._client, status)
        rows = [(stored.arguments.get(key, ()), stored.results.get(key)) for key in status.points]
        names = tuple(str(name) for name in _listed(status.about.get("inputs")))
        return table(names, rows, {"sweep": self.name} | status.about)

    @property
    def progress(self) -> Progress:
        """How far it is, by its tasks: a point counts as failed only if its task did."""
        status = self._status()
        states = Counter(task.status for task in _newest(status).values())
        failed = states[wire.FAILED]
        done = states[wire.COMPLETED] + failed
        began = min((task.created_at for task in status.tasks if task.created_at), default=None)
        passed_s = (datetime.now(UTC) - began).total_seconds() if began else 0.0
        points = len(set(status.points))
        left_s = eta_s(done, points - done, passed_s)
        return Progress(points, done, failed, states[wire.RUNNING], status.state, left_s)

    def pause(self) -> None:
        """No more points start; those that run, end."""
        gateway_api.change_sweep(self._client.gateway, self.name, "pause")

    def resume(self) -> None:
        """Go on after a pause: a kernel that waits in `sweep` does, and else the points that were
        cancelled are submitted again from here.
        """
        self._submit_again(lambda result: isinstance(result.error, errors.TaskCancelled))
        gateway_api.change_sweep(self._client.gateway, self.name, "resume")

    def cancel(self) -> None:
        """End what runs and what waits; results that there are stay."""
        gateway_api.change_sweep(self._client.gateway, self.name, "cancel")

    def retry(self) -> int:
        """Submit again what failed or was cancelled, with the function and arguments that were
        sent; how many points.
        """
        count = self._submit_again(lambda result: result.error is not None)
        gateway_api.change_sweep(self._client.gateway, self.name, "resume")
        return count

    def _submit_again(self, chosen: Callable[[PointResult], bool]) -> int:
        status = self._status()
        stored = _Stored(self._client, status)
        keys = [key for key, result in stored.results.items() if chosen(result)]
        together = -(-len(keys) // MOST_TASKS)  # failed points are better alone
        for at in range(0, len(keys), max(together, 1)):
            self._submit(stored, keys[at : at + together])
        return len(keys)

    def _submit(self, stored: _Stored, keys: list[str]) -> None:
        for sent, namespace in {id(stored.sent[key]): stored.sent[key] for key in keys}.values():
            points = [point for point in sent.points if point.key in keys]
            again = Sent(sent.fn, sent.names, points)
            chunk.submit(self._client, self.name, again, CallOptions(), namespace)

    def _status(self) -> wire.SweepStatus:
        try:
            return gateway_api.sweep(self._client.gateway, self.name)
        except errors.NotFound:
            names = ", ".join(list(Sweeps(self._client))[:_MOST_SHOWN]) or "none"
            raise KeyError(f"there is no sweep {self.name!r}; yours are: {names}") from None


class _Stored:
    """The inputs and results of a sweep's tasks, by the points' keys. Opens only what this user's
    kernels have sent.
    """

    def __init__(self, client: Client, status: wire.SweepStatus) -> None:
        self.results: dict[str, PointResult] = {}
        self.arguments: dict[str, Arguments] = {}
        self.sent: dict[str, tuple[Sent, dict[str, Any]]] = {}
        self._client = client
        newest = _newest(status)
        members = {task.task_id: task for task in newest.values()}
        for member in members.values():
            keys = [key for key in member.points if newest.get(key) is member]
            self._open(member, keys)

    def _open(self, member: wire.SweepTask, keys: list[str]) -> None:
        namespace: dict[str, Any] = {}
        where = member.task_id, member.worker or "", member.completed_at
        try:
            task = self._client.attach(member.task_id, member.task_id, namespace)
            self._note_inputs(task, member, namespace)
            if member.status in wire.FINAL:
                found = self._results(task, member)
                self.results |= {key: found[key] for key in keys if key in found}
        except (errors.MecapyError, ImportError, AttributeError) as trouble:
            lost = PointResult(None, trouble, None, *where)
            self.results |= dict.fromkeys(keys, lost)

    def _note_inputs(self, task: Task, member: wire.SweepTask, namespace: dict[str, Any]) -> None:
        if (sent := chunk.sent_by(task, member.points)) is not None:
            pair = sent, namespace
            self.sent |= dict.fromkeys(member.points, pair)
            self.arguments |= {point.key: point.arguments for point in sent.points}

    def _results(self, task: Task, member: wire.SweepTask) -> dict[str, PointResult]:
        if task.opens:
            return chunk.results(self._client, task, member)
        unsigned = errors.CannotReceive("its task was not submitted by your kernels")
        return {key: PointResult(error=unsigned, task_id=task.id) for key in member.points}


def _newest(status: wire.SweepStatus) -> dict[str, wire.SweepTask]:
    """The task that counts for each wanted point: the newest, but none that was cancelled if an
    earlier one completed.
    """
    wanted = set(status.points)
    found: dict[str, wire.SweepTask] = {}
    for task in status.tasks:
        for key in task.points:
            before = found.get(key)
            if key in wanted and not (
                before and before.status == wire.COMPLETED and task.status == wire.CANCELLED
            ):
                found[key] = task
    return found


def _listed(value: wire.Json) -> list[wire.Json]:
    return value if isinstance(value, list) else []


class Sweeps(Mapping[str, Sweep]):
    """All sweeps of this user: `sweeps["beam"].table()`; `list(sweeps)` names them."""

    def __init__(self, client: Client | None = None) -> None:
        self._given = client

    @property
    def _client(self) -> Client:
        return self._given or client_of(config.resolve())

    def __getitem__(self, name: str) -> Sweep:
        found = Sweep(self._client, name)
        _ = found.progress  # KeyError now, and not at the first use
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(found.name for found in gateway_api.sweeps(self._client.gateway))

    def __len__(self) -> int:
        return len(gateway_api.sweeps(self._client.gateway))

    def __repr__(self) -> str:
        return f"sweeps: {', '.join(self) or 'none'}"


sweeps = Sweeps()
