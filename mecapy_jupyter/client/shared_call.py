"""A short call that may share a task with others: a Future like any `Task`, with an id once it has
been sent.
"""

from __future__ import annotations

import concurrent.futures
import threading
from collections.abc import Callable
from typing import Any

from mecapy_jupyter import wire
from mecapy_jupyter.client import task_logs
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.client.submission import PackedCall
from mecapy_jupyter.client.task import Task
from mecapy_jupyter.travel.call_bundle import CallEnd
from mecapy_jupyter.travel.pickling import awaited

_claims = threading.Lock()


class SharedCall(Task):
    """`sent`: its inputs. `id`: of the task that it shares, or of its own where it went alone."""

    def __init__(self, gateway: Gateway, sent: PackedCall) -> None:
        super().__init__(gateway, "", sent.request.name, sent.packed, sent.namespace)
        self.sent = sent
        self._is_sent = threading.Event()
        self._claimed = self._alone = False
        self._carrier: Task | None = None
        self._on_cancel: Callable[[], object] = lambda: None
        self._printed = list[str]()
        self._buffers: tuple[Any, ...] = ()

    @property
    def id(self) -> str:
        """Waits until it has been sent; "" if that failed."""
        self._is_sent.wait()
        return self._carrier.id if self._carrier else ""

    def __repr__(self) -> str:
        return f"<Task {self.name} {'done' if self.done() else 'submitted'}>"

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """As an input of another task: waits for the result, which the other task gets, because the
        call is short.
        """
        if self._alone and self._carrier is not None:
            return self._carrier.__reduce__()
        return awaited.reduced_with_result(self)

    def running(self) -> bool:
        return not self.done() and self._carrier is not None and self._carrier.running()

    def cancel(self, *, descendants: bool = False) -> bool:
        """Its result is dropped. Where it shares a process, that ends once no other call needs
        it, or if it runs long: the others then start again.
        """
        if self._alone and self._carrier is not None:
            return self._carrier.cancel(descendants=descendants)
        return self.request_cancel(descendants=descendants)

    def request_cancel(self, *, descendants: bool = False) -> bool:
        if self._alone and self._carrier is not None:
            return self._carrier.request_cancel(descendants=descendants)
        if not self.drop():
            return self.cancelled()
        self._on_cancel()
        return True

    def drop(self) -> bool:
        """End it as cancelled, whatever becomes of its task."""
        if first := self.claim():
            self.settle(wire.Outcome(wire.CANCELLED))
        return first

    def logs(self) -> str:
        """What it printed."""
        if self._alone and self._carrier is not None:
            return self._carrier.logs()
        concurrent.futures.wait([self])
        return "".join(self._printed)

    def claim(self) -> bool:
        """True for the first caller only, which then ends it."""
        with _claims:
            first, self._claimed = not self._claimed, True
        return first

    @property
    def claimed(self) -> bool:
        return self._claimed

    def carried(self, task: Task, on_cancel: Callable[[], object]) -> None:
        """It is a part of this task. `on_cancel`: called when it is cancelled."""
        self._carrier, self._on_cancel = task, on_cancel
        self._is_sent.set()

    def carried_alone(self, task: Task) -> None:
        """It is this task."""
        self._carrier, self._alone = task, True
        self._is_sent.set()
        task.add_done_callback(lambda _: self._follow(task))

    def _follow(self, task: Task) -> None:
        self.home, self.outcome = task.home, task.outcome
        if task.cancelled():
            self.drop()
        elif self.claim():
            if (error := task.exception()) is not None:
                self.set_exception(error)
            else:
                self.set_result(task.result())

    def take(self, end: CallEnd) -> None:
        """It has ended: show what it printed, and end the future."""
        if not self.claim():
            return
        for name, text in end.printed:
            self._printed.append(text)
            event = wire.StdoutEvent(text) if name == wire.STDOUT else wire.StderrEvent(text)
            task_logs.show_printed(wire.Event.of(event))
        self._buffers, self.outcome = end.buffers, end.outcome()
        self.settle(self.outcome)

    def fail(self, error: BaseException) -> None:
        """It could not be sent, or its end could not be read."""
        self._is_sent.set()
        if isinstance(error, concurrent.futures.CancelledError):
            self.drop()
        elif self.claim():
            self.set_exception(error)

    def _fetch(self, digest: str) -> Any:
        return self._buffers[int(digest)]
