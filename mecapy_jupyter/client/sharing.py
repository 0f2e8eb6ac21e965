"""Short calls share a child, as calls of a map do. A call is submitted alone, at once, until its
function is known to be short and the pool has enough to do; then those that are submitted within a
moment travel together. If one of them fails otherwise than by its exception, the others start
again, each alone.
"""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any, cast

from mecapy_jupyter import wire
from mecapy_jupyter.client import current_workflow, task_logs
from mecapy_jupyter.client.call_options import CallOptions
from mecapy_jupyter.client.chunk_size import AHEAD, CallTime
from mecapy_jupyter.client.map_history import Maps
from mecapy_jupyter.client.mapping import Enter
from mecapy_jupyter.client.shared_call import SharedCall
from mecapy_jupyter.client.submission import PackedCall
from mecapy_jupyter.client.task import Task
from mecapy_jupyter.travel.call_bundle import CallBundle

SHORT_S = 0.05
_LONG_S = 1.0  # much more than a bundle takes: one of its calls hangs
_CALL_BYTES = 32 * 1024
_MOST_CALLS = 100
_GATHERS_S = 0.03  # the pool has enough to do meanwhile
_BEFORE_CALLS = ("modules", "made", "imports", "patches", "setup")
"""Parts of a prelude that a process takes only once."""


@dataclass(eq=False, slots=True)
class _Bundle:
    """Calls in flight together. `splits`: one was cancelled while it ran long, so the others go
    alone.
    """

    calls: list[SharedCall]
    task: Task
    call_time: CallTime
    started: float | None = None
    splits: bool = False

    def hear(self, event: wire.Event) -> None:
        if event.type == wire.STARTED:
            self.started = time.monotonic()
        task_logs.show_printed(event)

    def one_cancelled(self) -> None:
        needed = not all(call.claimed for call in self.calls)
        runs_long = self.started is not None and time.monotonic() - self.started > _LONG_S
        if runs_long or not needed:
            self.splits = needed
            self.task.request_cancel()


@dataclass(slots=True)
class Sharing:
    """What one client shares. `enter`: submits values; `alone`: submits what is prepared."""

    maps: Maps
    enter: Enter
    alone: Callable[[PackedCall], Task]
    _lock: threading.Condition = field(default_factory=threading.Condition)
    _waiting: list[SharedCall] = field(default_factory=list[SharedCall])
    _times: dict[SharedCall, CallTime] = field(default_factory=dict[SharedCall, CallTime])
    _sends: bool = False
    _slots: int = 1

    def wants(self, fn: Callable[..., Any], options: CallOptions, unfinished: int) -> bool:
        """Whether a call of this function would wait anyway, and may share."""
        call_time = self.maps.call_times.of(fn)
        if call_time.call_s is None or call_time.call_s > SHORT_S or call_time.large_results:
            return False
        if not options.may_share or current_workflow.id_of.get() or unfinished < AHEAD:
            return False
        self._slots = self.maps.slots()
        return unfinished >= AHEAD * self._slots

    def takes(self, sent: PackedCall) -> bool:
        """Whether its inputs are small and need no other task."""
        packed = sent.packed
        return not packed.buffers and not sent.parents and len(packed.stream) <= _CALL_BYTES

    def watch(self, fn: Callable[..., Any], task: Task) -> Task:
        """Learn from a call that went alone how long the function takes."""
        call_time = self.maps.call_times.of(fn)
        # the argument, because a callback that names its task would keep it alive
        task.add_done_callback(lambda ended: _learn(call_time, cast(Task, ended).outcome, 1))
        return task

    def add(self, fn: Callable[..., Any], call: SharedCall) -> SharedCall:
        """Send it soon, with the others that wait."""
        with self._lock:
            self._waiting.append(call)
            self._times[call] = self.maps.call_times.of(fn)
            if len(self._waiting) >= _MOST_CALLS:
                self._lock.notify()
            if not self._sends:
                self._sends = True
                # no daemon: Python waits for it, so that what was submitted is sent
                threading.Thread(target=self._send_all, name="mecapy submit").start()
        return call

    def _send_all(self) -> None:
        while calls := self._next():
            try:
                self._send(*calls)
            except BaseException as error:
                for call in calls[0]:
                    call.fail(error)

    def _next(self) -> tuple[list[SharedCall], CallTime] | None:
        """The first that waits, with those of its kind."""
        with self._lock:
            self._lock.wait_for(lambda: len(self._waiting) >= _MOST_CALLS, _GATHERS_S)
            if not self._waiting:
                self._sends = False
                return None
            first = self._waiting[0]
            call_time = self._times[first]
            alike = [call for call in self._waiting if self._are_alike(first, call)]
            size = min(call_time.size(len(alike), self._slots), _MOST_CALLS)
            chosen = set(alike[:size])
            self._waiting = [call for call in self._waiting if call not in chosen]
            for call in chosen:
                del self._times[call]
            return [call for call in alike[:size] if not call.claimed], call_time

    def _are_alike(self, first: SharedCall, other: SharedCall) -> bool:
        """One function, one set of options, and modules in one state."""
        one, two = first.sent, other.sent
        return (
            self._times[first] is self._times[other]
            and one.request == two.request
            and all(one.packed.prelude[part] == two.packed.prelude[part] for part in _BEFORE_CALLS)
        )

    def _send(self, calls: list[SharedCall], call_time: CallTime) -> None:
        if len(calls) < 2:
            for call in calls:
                call.carried_alone(self.alone(call.sent))
            return
        request = calls[0].sent.request
        name = f"{request.name}{wire.TIMES}{len(calls)}"
        together = CallBundle.of(request.code, [call.sent.packed.stream for call in calls])
        task = self.enter(dataclasses.replace(request, name=name), {wire.BUNDLE: together}, False)
        bundle = _Bundle(calls, task, call_time)
        for call in calls:
            call.carried(task, bundle.one_cancelled)
        task.add_done_callback(lambda _: self._landed(bundle))
        task.follow(on_event=bundle.hear)

    def _landed(self, bundle: _Bundle) -> None:
        outcome = bundle.task.outcome
        calls, bundle.calls = bundle.calls, []  # so that their inputs can go
        if outcome is None:  # its end could not be read
            error = bundle.task.exception() or RuntimeError("no outcome")
            for call in calls:
                call.fail(error)
            return
        ends: list[Any] = []
        if outcome.state == wire.COMPLETED and bundle.task.exception() is None:
            _learn(bundle.call_time, outcome, len(calls))
            ends = bundle.task.result() or []
        for call, end in zip_longest(calls, ends):
            if end is not None:
                call.take(end)
            elif outcome.state == wire.CANCELLED and not bundle.splits:
                call.drop()
            elif not call.claimed:
                self._again(call)

    def _again(self, call: SharedCall) -> None:
        try:
            call.carried_alone(self.alone(call.sent))
        except BaseException as error:
            call.fail(error)


def _learn(call_time: CallTime, outcome: wire.Outcome | None, calls: int) -> None:
    if outcome is not None and outcome.state == wire.COMPLETED:
        call_time.learn(outcome.seconds, calls)
        call_time.large_results = bool(outcome.payload and outcome.payload.buffers)
