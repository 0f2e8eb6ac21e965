"""One sweep from its first task to its last result. All points go to the server early, some to a
task, so that they run on without this kernel; which tasks have ended is asked of the gateway.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from mecapy_jupyter import wire
from mecapy_jupyter.client import end_notice, gateway_api
from mecapy_jupyter.client.call_options import CallOptions
from mecapy_jupyter.client.chunk_size import AHEAD, CallTime
from mecapy_jupyter.client.client import Client
from mecapy_jupyter.client.task import Task
from mecapy_jupyter.parameter_sweep import chunk
from mecapy_jupyter.parameter_sweep.chunk import PointResult, Sent
from mecapy_jupyter.parameter_sweep.points import Point, SweepPlan
from mecapy_jupyter.parameter_sweep.progress import Progress, eta_s
from mecapy_jupyter.shared import errors

MOST_TASKS = 400
"""So many tasks of a sweep are on the server at once; a user may have 1,000 queued ones."""
_LONG_S = 1.0  # such calls travel alone
_TRIED_TOGETHER = 4
_POLLS_S = 0.03, 0.5
_OVERLAP = timedelta(seconds=5)  # a task that ended may be seen later than one that ended after it
_FULL_FOR_S = 2.0
_PATIENCE_S = 120.0


@dataclass(slots=True)
class Flight:
    """A task on its way, with the points that are expected of it."""

    task: Task | None
    points: tuple[Point, ...]


@dataclass(slots=True)
class Run:
    """`results`: by key, also those that were there before."""

    client: Client
    name: str
    plan: SweepPlan
    options: CallOptions
    namespace: dict[str, Any]
    slots: int
    results: dict[str, PointResult] = field(default_factory=dict[str, PointResult])
    state: wire.SweepState = "running"
    todo: list[Point] = field(default_factory=list[Point])
    alone: list[Point] = field(default_factory=list[Point])
    tried_alone: set[str] = field(default_factory=set[str])
    flying: dict[str, Flight] = field(default_factory=dict[str, Flight])
    call_time: CallTime = field(default_factory=CallTime)
    began_s: float = field(default_factory=time.monotonic)
    found: int = 0
    landed: int = 0
    last_id: str = ""  # of the task whose end is the sweep's
    sent_bytes: int = 0
    reused_bytes: int = 0
    _since: datetime | None = None
    _pause_s: float = _POLLS_S[0]
    _full_until_s: float = 0.0
    _silent_since_s: float = 0.0

    def begin(self, again: bool) -> None:
        """Tell the gateway, and take over what it has of these points, unless all run `again`."""
        wanted = {point.key: point for point in self.plan.points}
        request = wire.SweepRequest(
            self.name, tuple(point.key for point in self.plan.points), self.plan.about
        )
        status = gateway_api.begin_sweep(self.client.gateway, request)
        self._since = status.at
        left = dict(wanted) if again else self._taken_over(status.tasks, wanted)
        self.found = len(wanted) - len(left) - sum(len(f.points) for f in self.flying.values())
        self.todo = list(reversed(left.values()))  # taken from the end

    def _taken_over(
        self, tasks: Iterable[wire.SweepTask], wanted: dict[str, Point]
    ) -> dict[str, Point]:
        """Results of ended tasks, and tasks on their way. Returns the points of which there is
        neither.
        """
        left = dict(wanted)
        for member in reversed(list(tasks)):  # the newest counts
            mine = [left[key] for key in member.points if key in left]
            if not mine or member.status == wire.CANCELLED:
                continue
            if member.status not in wire.FINAL:
                self.flying[member.task_id] = Flight(None, tuple(mine))
                found = {point.key for point in mine}
            else:
                good = self._opened(member, None)
                found = {point.key for point in mine if point.key in good}
                self.results |= {key: good[key] for key in found}
            for key in found:
                del left[key]
        return left

    def _opened(self, member: wire.SweepTask, task: Task | None) -> dict[str, PointResult]:
        """The good results of a task; nothing of one that cannot be opened (any more)."""
        try:
            task = task or self.client.attach(member.task_id, self.name, {})
            if not task.opens:
                return {}
            found = chunk.results(self.client, task, member)
        except (errors.CannotReceive, errors.NotFound):
            return {}
        return {key: result for key, result in found.items() if result.error is None}

    @property
    def ended(self) -> bool:
        return not (self.todo or self.alone or self.flying)

    def send(self) -> None:
        """Send as many tasks as may be on the server: a few until it is known how long a call
        takes.
        """
        now_s = time.monotonic()
        most = MOST_TASKS if self._is_sure(now_s) else AHEAD * self.slots
        while (self.todo or self.alone) and len(self.flying) < most and now_s > self._full_until_s:
            points = self._next()
            try:
                sent = Sent(self.plan.fn, self.plan.names, points)
                task = chunk.submit(self.client, self.name, sent, self.options, self.namespace)
            except errors.Unavailable:
                if not self.flying:
                    raise
                self.todo.extend(reversed(points))
                self._full_until_s = now_s + _FULL_FOR_S  # the queue is full: later
                return
            self.sent_bytes += task.sent_bytes
            self.reused_bytes += task.reused_bytes
            task.forget_sent()
            self.flying[task.id] = Flight(task, tuple(points))
            if not self.last_id and self.options.told:
                task.notify(self.options.told, check=True)
            self.last_id = task.id

    def _is_sure(self, now_s: float) -> bool:
        """Whether it is known how long a call takes; the first one in a process may take longer
        than those after it.
        """
        call_s = self.call_time.call_s
        if call_s is None:
            return now_s - self.began_s > _LONG_S
        return call_s > _LONG_S or self.landed >= 2 * AHEAD * self.slots

    def _next(self) -> list[Point]:
        if self.alone:
            return [self.alone.pop()]
        size = 1 if self.options.timeout else self.call_time.size(len(self.todo), self.slots)
        call_s = self.call_time.call_s
        if (
            size == 1
            and not self.options.timeout
            and call_s
            and not self._is_sure(time.monotonic())
        ):
            size = _TRIED_TOGETHER
        points, self.todo = self.todo[-size:], self.todo[:-size]
        points.reverse()
        return points

    def wait(self) -> dict[str, PointResult]:
        """What has ended since the last time; after a moment, if nothing has."""
        try:
            status = gateway_api.sweep(self.client.gateway, self.name, self._since)
        except (errors.ConnectionFailed, errors.Unavailable):
            self._silent_since_s = self._silent_since_s or time.monotonic()
            if time.monotonic() - self._silent_since_s > _PATIENCE_S:
                raise
            time.sleep(_POLLS_S[1])
            return {}
        self._silent_since_s = 0.0
        if status.state == "running" and self.state == wire.PAUSED:
            self._resume()
        if status.state == "cancelled" and self.state != "cancelled":
            # What was sent meanwhile came too late to be cancelled with the rest.
            gateway_api.change_sweep(self.client.gateway, self.name, "cancel")
        self.state = status.state
        landed: dict[str, PointResult] = {}
        for member in status.tasks:
            if (flight := self.flying.pop(member.task_id, None)) is not None:
                landed |= self._land(member, flight)
        self._since = status.at - _OVERLAP if status.at else None
        if self.state == "cancelled" and not self.flying:
            landed |= self._give_up()
        if not landed:
            time.sleep(self._pause_s)
        self._pause_s = _POLLS_S[0] if landed else min(self._pause_s * 1.5, _POLLS_S[1])
        self.results |= landed
        return landed

    def _land(self, member: wire.SweepTask, flight: Flight) -> dict[str, PointResult]:
        if member.status == wire.CANCELLED and self.state == wire.PAUSED:
            self.todo.extend(reversed(flight.points))
            return {}
        try:
            task = flight.task or self.client.attach(member.task_id, self.name, {})
            found = chunk.results(self.client, task, member)
        except (errors.CannotReceive, errors.NotFound) as trouble:
            where = member.task_id, member.worker or "", member.completed_at
            found = {key: PointResult(None, trouble, None, *where) for key in member.points}
        if member.started_at and member.completed_at and member.status == wire.COMPLETED:
            calls_s = sum(result.seconds or 0.0 for result in found.values())
            self.call_time.learn(calls_s, len(found))
            self.landed += 1
        self.last_id = member.task_id
        landed: dict[str, PointResult] = {}
        for point in flight.points:
            result = found.get(point.key, PointResult())
            if self._runs_alone(point, result, len(member.points), member.status):
                self.tried_alone.add(point.key)
                self.alone.append(point)
            else:
                landed[point.key] = result
        return landed

    def _runs_alone(self, point: Point, result: PointResult, together: int, state: str) -> bool:
        """If a task died, another of its points may be the cause."""
        return (
            result.lost
            and together > 1
            and state != wire.CANCELLED
            and point.key not in self.tried_alone
        )

    def _resume(self) -> None:
        """Another kernel that resumed it may have submitted the cancelled points."""
        status = gateway_api.sweep(self.client.gateway, self.name)
        left = {point.key: point for point in reversed(self.todo)}
        alive = (task for task in status.tasks if task.task_id not in self.flying)
        self.todo = list(reversed(self._taken_over(alive, left).values()))

    def _give_up(self) -> dict[str, PointResult]:
        stopped = errors.TaskCancelled("the sweep was cancelled")
        given_up = {point.key: PointResult(error=stopped) for point in self.todo + self.alone}
        self.todo.clear()
        self.alone.clear()
        return given_up

    def tell(self) -> None:
        """Sends the note at its end, if somebody asked for one and anything was sent."""
        if self.last_id:
            notify = functools.partial(gateway_api.notify, self.client.gateway, self.last_id)
            end_notice.tell(notify, self.options.told)

    def progress(self) -> Progress:
        done = len(self.results)
        failed = sum(result.error is not None for result in self.results.values())
        points = len({point.key for point in self.plan.points})
        left_s = eta_s(done - self.found, points - done, time.monotonic() - self.began_s)
        return Progress(points, done, failed, 0, self.state, left_s)
