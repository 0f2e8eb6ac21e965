"""A submitted task as a Future: reads its events and opens its results."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import pickle
import queue
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from typing import Any

from mecapy_jupyter import wire
from mecapy_jupyter.client import blob_transfer, gateway_api, task_logs, unopened
from mecapy_jupyter.client.deferred_interrupt import DeferredInterrupt
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.results import bind
from mecapy_jupyter.shared import errors
from mecapy_jupyter.travel.environment import module_changes
from mecapy_jupyter.travel.files.bring_home import SentFolder, bring_home, follow
from mecapy_jupyter.travel.files.collect import Collected
from mecapy_jupyter.travel.pickling import awaited, payload
from mecapy_jupyter.wire import JsonObject

_STOPPED_S = 5.0  # how long `cancel` waits for the end
_PATIENCE_S = 120.0  # how long a broken event stream is resumed before giving up


def unread(error: Exception) -> errors.MecapyError:
    """Shown to those who wait for a task if reading its end failed."""
    if isinstance(error, errors.MecapyError):
        return error
    return errors.CannotReceive(f"the task's end could not be read: {error!r}")


class Task(concurrent.futures.Future[Any]):
    """A submitted task, a Future (and awaitable): `result()` is the last expression's value, or
    raises the cell's own exception. `vars`: the variables that came back. `events`: a queue for one
    reader; the last event is final. `outcome`: None until the end. `opens`: whether this process
    opens its pickles and lets its displays act in the page.
    """

    def __init__(
        self,
        gateway: Gateway,
        task_id: str,
        name: str,
        packed: payload.Packed,
        namespace: dict[str, Any],
        events: Iterable[wire.Event] | None = None,
    ) -> None:
        """`events`: the stream of its submission, if this process submitted it."""
        super().__init__()
        self._first_events = events
        self._id, self.name = task_id, name
        self.events: queue.SimpleQueue[wire.Event | errors.MecapyError] = queue.SimpleQueue()
        self.home = bind.Home()
        self.outcome: wire.Outcome | None = None
        self.opens = True
        self._started = self._followed = False
        self._reader: threading.Thread | None = None  # that ends this future
        self.sent_bytes, self.reused_bytes = 0, 0
        self.inputs: dict[str, Any] = {}
        self.packed = packed  # its inputs as they were sent
        self.parents: Sequence[concurrent.futures.Future[Any]] = ()  # until it has ended
        self._gateway, self._namespace = gateway, namespace
        self._give_states = module_changes.reopened({})

    def __repr__(self) -> str:
        return f"<Task {self.name or self.id[:8]} {'done' if self.done() else 'submitted'}>"

    @property
    def id(self) -> str:
        return self._id

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        """As an input of another task: its result goes there without coming here."""
        if not self.opens:
            raise errors.CannotSend(
                f"{self!r} was not submitted from here, so it cannot be an input of your task: "
                f"call `.result()`, check the value, and pass that"
            )
        return awaited.reduced(self.id, self)

    def __await__(self) -> Generator[Any, None, Any]:
        return asyncio.wrap_future(self).__await__()

    @property
    def vars(self) -> dict[str, Any]:
        """The variables of the task. Waits for its end; does not raise the cell's exception."""
        concurrent.futures.wait([self])
        return self.home.bound

    def running(self) -> bool:
        return self._started and not self.done()

    def cancel(self, *, descendants: bool = False) -> bool:
        """Stop it, wherever it is, also while it runs. False if it has ended. Waits briefly for the
        end: the process has ended when `result()` raises. What needs its result fails, or with
        `descendants` is cancelled too.
        """
        if self.done():
            return self.cancelled()
        stops = self.request_cancel(descendants=descendants)
        if self._reader is not None and self._reader is not threading.current_thread():
            concurrent.futures.wait([self], timeout=_STOPPED_S)
        return stops

    def request_cancel(self, *, descendants: bool = False) -> bool:
        """Like `cancel`, without waiting."""
        state = gateway_api.cancel(self._gateway, self.id, descendants=descendants).status
        return state not in (wire.COMPLETED, wire.FAILED)

    def notify(self, targets: Sequence[str], *, check: bool = False) -> None:
        """Report its end to these ("mail", "webhook" or a URL) instead of those named before, also
        if it has ended. `check`: only raise what would be refused.
        """
        gateway_api.notify(self._gateway, self.id, targets, check=check)

    def say_to_widgets(self, messages: Sequence[JsonObject]) -> None:
        """What a page says to its widgets. Raises if it did not arrive."""
        gateway_api.say_to_widgets(self._gateway, self.id, messages)

    def logs(self) -> str:
        """All output of the task so far."""
        return task_logs.text(self._gateway, self.id)

    def follow(
        self,
        on_final: Callable[[wire.Outcome], None] | None = None,
        on_event: Callable[[wire.Event], object] = lambda _: None,
    ) -> Task:
        """Start reading its events in the background, once. In that thread, `on_event` gets each of
        them, and `on_final` (or `settle`) the outcome.
        """
        with DeferredInterrupt():
            if not self._followed:
                self._followed = True
                reader = threading.Thread(
                    target=self._read,
                    args=(on_final or self.settle, on_event),
                    name=f"mecapy {self.id[:8]}",
                    daemon=True,
                )
                self._reader = reader if on_final is None else None
                reader.start()
        return self

    def _read(
        self,
        on_final: Callable[[wire.Outcome], None],
        on_event: Callable[[wire.Event], object],
    ) -> None:
        first, self._first_events = self._first_events, None
        try:
            for event in self.stream(first):
                self._started = self._started or event.type == wire.STARTED
                self.outcome = (
                    wire.Outcome.from_json(event.data) if event.type in wire.FINAL else None
                )
                if (shown := event if self.opens else unopened.inert(event)) is not None:
                    self.events.put(shown)
                    on_event(shown)
                first = None  # the end of the loop then frees the connection for the next task
            if self.outcome is not None:
                on_final(self.outcome)
        except Exception as error:  # after any error: nobody may wait forever
            trouble = unread(error)
            trouble.__cause__ = None if trouble is error else error
            self.events.put(trouble)
            if on_final == self.settle:
                self.set_exception(trouble)

    def stream(self, first: Iterable[wire.Event] | None) -> Iterable[wire.Event]:
        """All its events. `first`: of an open stream."""
        return resumed_events(self._gateway, self.id, first)

    def open(self, outcome: wire.Outcome, spared: Collection[int] = ()) -> bind.Home:
        """Open the outcome's payload, once, and keep it in `home`. `spared`: as for
        `bind.open_outcome`.
        """
        if not self.opens or outcome.payload is None:
            self.home = bind.Home(value=outcome.result)
            return self.home
        self.home = bind.open_outcome(
            outcome, self._fetch, self._namespace, self.packed.memo, spared, self.inputs
        )
        self._give_states()
        return self.home

    def forget_sent(self) -> None:
        """Keep of its inputs only what its results may refer to."""
        self.packed = dataclasses.replace(self.packed, stream=b"", buffers=())

    def _sent(self) -> SentFolder:
        """The files of its notebook's folder that were sent."""
        first: dict[str, Any] = self.packed.prelude or {}
        return SentFolder.of(first.get("folder"), self.packed.buffers)

    def bring_folder(self) -> list[str]:
        """Write the cell's files into the notebook's folder; returns the remarks."""
        if self.home.folder == Collected():
            return []
        return bring_home(self.home.folder, self._sent(), self.id)

    def change_folder(self) -> list[str]:
        return follow(self.home.folder.ended_in, self._sent())

    def small_files(self, outcome: wire.Outcome) -> dict[str, bytes]:
        """Small files of the task that no `keep` named: path → content. Fetched on first use."""
        is_kept = any(is_kept for _, is_kept in self.home.folder.stays.values())
        if not is_kept or outcome.payload is None:
            return {}
        return pickle.loads(self._fetch(outcome.payload.buffers[-1]))  # noqa: S301 our own task's result

    def reopen(self, sent: wire.Payload) -> None:
        """Open the inputs as they were sent, for a task whose originals this process does not have:
        `inputs`, by name.
        """
        stream = self._fetch(sent.pickle_blob) if sent.pickle_blob else sent.pickle
        if stream:
            buffers, first = list(map(self._fetch, sent.buffers)), list[Any]()
            opened = payload.unpack(stream, buffers, dict(self._namespace), on_prelude=first.append)
            self.packed = payload.Packed(b"", tuple(buffers), opened.memo, prelude=first[0])
            self.inputs = opened.variables
            self._give_states = module_changes.reopened(opened.states)

    def settle(self, outcome: wire.Outcome) -> None:
        """End the future with the outcome."""
        try:
            home = self.open(outcome)
        except errors.MecapyError as error:
            return self.set_exception(error)
        self.end(outcome, home, bind.raised)

    def end(
        self,
        outcome: wire.Outcome,
        home: bind.Home,
        raised: Callable[[wire.Outcome, bind.Home], BaseException],
    ) -> None:
        """End the future with the results. `raised`: creates the exception of a failed task."""
        if outcome.state == wire.CANCELLED:
            super().cancel()
            self.set_running_or_notify_cancel()
        elif outcome.state == wire.FAILED:
            self.set_exception(self._with_cause(raised(outcome, home)))
        elif wire.RESULT in home.left:
            why = home.left[wire.RESULT]
            self.set_exception(
                errors.CannotReceive(
                    f"{self.name} ran, but what it returned cannot travel home: {why}"
                )
            )
        else:
            self.parents = ()
            self.set_result(home.bound.pop(wire.RESULT, home.value))

    def _with_cause(self, error: BaseException) -> BaseException:
        """The parent's exception, if this process has seen the parent end."""
        parents, self.parents = self.parents, ()
        if isinstance(error, errors.ParentFailed):
            concurrent.futures.wait(parents, _STOPPED_S, return_when="FIRST_EXCEPTION")
            found = [one.exception() for one in parents if one.done() and not one.cancelled()]
            for cause in filter(None, found):
                own = cause.__cause__ if isinstance(cause, errors.ParentFailed) else cause
                error.__cause__ = own
        return error

    def _fetch(self, digest: str) -> Any:
        """A blob of its result."""
        return blob_transfer.fetch(self._gateway, digest)


def resumed_events(
    gateway: Gateway, task_id: str, events: Iterable[wire.Event] | None = None
) -> Iterable[wire.Event]:
    """All events of a task, each once and in order, over any number of connections. `events`: the
    first of these.
    """
    last_id, broken_at, pause_s = "", 0.0, 0.1
    while True:
        try:
            for event in events if events is not None else gateway.events(task_id, last_id):
                last_id, broken_at, pause_s = event.id, 0.0, 0.1
                yield event
                if event.type in wire.FINAL:
                    return
        except (errors.ConnectionFailed, errors.Unavailable):
            broken_at = broken_at or time.monotonic()
            if time.monotonic() - broken_at > _PATIENCE_S:
                raise
        events = None
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, 5.0)
