"""`Client.map`: divides calls into chunks, each one task; results as they come or in order, and one
live block for all. A chunk has about a third of a second of calls, so trivial calls travel by the
thousand and long ones alone. Knows nothing of HTTP or pickles.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import queue
import reprlib
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass, field
from typing import Any

from mecapy_jupyter import wire
from mecapy_jupyter.block.live import LiveBlock
from mecapy_jupyter.client import end_notice, task_logs
from mecapy_jupyter.client.call_options import CallOptions
from mecapy_jupyter.client.chunk_size import AHEAD, CallTime
from mecapy_jupyter.client.task import Task
from mecapy_jupyter.hooks.ipython import show_as
from mecapy_jupyter.shared import errors

_RESULTS, _FAILED = "_mecapy_results", "_mecapy_failed"
_CODE = f"""{_RESULTS} = []
for _mecapy_call in {wire.CALLS}:
    {_RESULTS}.append({wire.CALLED}(*_mecapy_call))"""
_CODE_THAT_GOES_ON = f"""{_RESULTS}, {_FAILED} = [], []
for _mecapy_call in {wire.CALLS}:
    try:
        {_RESULTS}.append({wire.CALLED}(*_mecapy_call))
    except Exception as _mecapy_error:
        {_FAILED}.append(len({_RESULTS}))
        {_RESULTS}.append(_mecapy_error)"""
_KEPT = 8  # chunks per slot that are in flight or wait for a slow reader
_TICK_S = 0.1

Calls = list[tuple[Any, ...]]
Enter = Callable[[wire.TaskRequest, Mapping[str, Any], bool], Task]
"""Submits one chunk with these values; whether a kept result will do: `Client.enter`."""


@dataclass(frozen=True, slots=True)
class MapOptions:
    """As of `Client.map`. `call`: of each call. `with_argument`: each result comes as (argument,
    result).
    """

    call: CallOptions
    timeout: float | None = None
    chunksize: int | None = None
    return_exceptions: bool = False
    ordered: bool = True
    with_argument: bool = False

    @property
    def chunk_calls(self) -> int | None:
        """A call with its own limit, or key, is a chunk of its own."""
        return 1 if self.call.timeout is not None or self.call.cache else self.chunksize


@dataclass(eq=False, slots=True)
class Chunk:
    """A chunk in flight. `first`: the number of its first call."""

    first: int
    calls: Calls
    task: Task


@dataclass(slots=True)
class Map:
    """One map from its first chunk to its last."""

    enter: Enter
    fn: Callable[..., Any]
    calls: Iterator[tuple[Any, ...]]
    count: int | None
    slots: int
    call_time: CallTime
    how: MapOptions
    block: LiveBlock
    started: float = field(default_factory=time.monotonic)
    cut: int = 0
    last: Task | None = None  # whose end is the map's
    done: int = 0
    flying: dict[Task, Chunk] = field(default_factory=dict[Task, Chunk])
    waiting: deque[Chunk] = field(default_factory=deque[Chunk])
    landed: queue.SimpleQueue[Chunk] = field(default_factory=queue.SimpleQueue[Chunk])

    def fill(self) -> None:
        """Send chunks until enough are in flight."""
        while len(self.flying) < AHEAD * self.slots and len(self.waiting) < _KEPT * self.slots:
            left = None if self.count is None else self.count - self.cut
            size = self.how.chunk_calls or self.call_time.size(left, self.slots)
            calls = list(itertools.islice(self.calls, size))
            if not calls:
                return
            self._send(calls)

    def _send(self, calls: Calls) -> None:
        first, self.cut = self.cut, self.cut + len(calls)
        values = {wire.CALLED: self.fn, wire.CALLS: calls}
        goes_on = self.how.return_exceptions
        request = self.how.call.request(
            _CODE_THAT_GOES_ON if goes_on else _CODE,
            f"{name_of(self.fn)}{wire.TIMES}{len(calls)}",
            (_RESULTS, _FAILED) if goes_on else (_RESULTS,),
        )
        request = dataclasses.replace(request, notify=())
        task = self.enter(request, values, self.how.call.cache)
        piece = self.flying[task] = Chunk(first, calls, task)
        self.waiting.append(piece)
        self.block.sent(task.sent_bytes, task.reused_bytes)
        task.add_done_callback(lambda _: self.landed.put(piece))
        task.follow()
        if first == 0 and (targets := self.how.call.told):
            task.notify(targets, check=True)

    def results(self) -> Generator[Any]:
        """The first value is None and comes once chunks are in flight; the results follow. Closing
        it early cancels what is in flight.
        """
        try:
            self.fill()
            yield
            while self.waiting:
                piece = self._next()
                opened = self._opened(piece)
                for call in piece.calls:
                    # no name for it, because the reader owns it
                    yield self._shaped(call, next(opened))
                    self._take_landed()
            self._end(wire.COMPLETED)
        except GeneratorExit:
            self._end(wire.CANCELLED)
            raise
        except KeyboardInterrupt:
            self._end(wire.CANCELLED)
            if not self.block.ends_with_a_line:
                raise
            cancelled = errors.TaskCancelled("the map was cancelled")
            raise show_as(cancelled, ["TaskCancelled"]) from None
        except BaseException as error:
            self._end(wire.FAILED, type(error).__name__)
            raise

    def _end(self, state: wire.State, error: str = "") -> None:
        for task in self.flying:
            with contextlib.suppress(errors.MecapyError):
                task.request_cancel()
        self.block.finish(
            wire.Outcome(state, seconds=time.monotonic() - self.started),
            [f"{self.done:,} result{'' if self.done == 1 else 's'}"] if self.done else [],
            error,
        )
        if self.last is not None and state != wire.CANCELLED:
            end_notice.tell(self.last.notify, self.how.call.told)

    def _next(self) -> Chunk:
        """Waits for the next chunk whose results may be returned."""
        while True:
            self._take_landed()
            ready = self.waiting[0]
            if not self.how.ordered:
                landed = (piece for piece in self.waiting if piece.task not in self.flying)
                ready = next(landed, ready)
            if ready.task not in self.flying:
                self.waiting.remove(ready)
                self.fill()
                return ready
            self._wait()

    def _wait(self) -> None:
        """Waits until a chunk has ended, and shows what tasks print meanwhile."""
        left_s = _TICK_S
        if self.how.timeout is not None:
            left_s = min(_TICK_S, self.started + self.how.timeout - time.monotonic())
        if left_s <= 0:
            self.last = next(iter(self.flying))
            raise TimeoutError(
                f"the map did not end within its `timeout`: {self.done} of its calls have ended"
            )
        with contextlib.suppress(queue.Empty):
            self._land(self.landed.get(timeout=left_s))
        for piece in list(self.flying.values()):
            self._show(piece)
        self.block.tick()

    def _take_landed(self) -> None:
        if self.landed.empty():
            return
        while not self.landed.empty():
            self._land(self.landed.get())
        self.fill()

    def _land(self, piece: Chunk) -> None:
        self._show(piece)
        del self.flying[piece.task]
        self.last = piece.task
        outcome = piece.task.outcome
        if outcome is not None and outcome.state == wire.COMPLETED:
            self.call_time.learn(outcome.seconds, len(piece.calls))
            self.done += len(piece.calls)
            fraction = None if not self.count else self.done / self.count
            text = (
                f"{self.done:,} of {self.count:,} calls" if self.count else f"{self.done:,} calls"
            )
            self.block.event(wire.Event.of(wire.ProgressEvent(fraction, text)))

    def _show(self, piece: Chunk) -> None:
        """Prints of a chunk's calls appear as if they ran here; the block learns that something
        runs.
        """
        while not piece.task.events.empty():
            event = piece.task.events.get()
            if not isinstance(event, wire.Event):
                continue
            if event.type == wire.STARTED and self.block.state.phase != "running":
                self.block.event(wire.Event.of(wire.StartedEvent("the pool")))
            elif event.type in (wire.STDOUT, wire.STDERR):
                self.block.event(event)
                task_logs.show_printed(event)

    def _opened(self, piece: Chunk) -> Iterator[Any]:
        """Its results, followed by the exception of a failed call with its argument: raised, or
        returned for every missing result.
        """
        bound = piece.task.home.bound
        failed: list[int] = bound.get(_FAILED, [])
        results = bound.get(_RESULTS, [])
        count = len(results)
        results.reverse()
        for at in range(count):
            yield _noted(piece, results.pop(), at) if at in failed else results.pop()
        error = self._error(piece, count)
        if error is not None and not self.how.return_exceptions:
            self.last = piece.task
            raise error
        yield from [error] * (len(piece.calls) - count)

    def _shaped(self, call: tuple[Any, ...], value: Any) -> Any:
        if not self.how.with_argument:
            return value
        return (call[0] if len(call) == 1 else call), value

    def _error(self, piece: Chunk, results: int) -> BaseException | None:
        """Why the chunk has no more results than these."""
        error = piece.task.exception()
        if error is not None:
            info = piece.task.outcome and piece.task.outcome.error
            own = info is not None and info.kind == "cell" and results < len(piece.calls)
            return _noted(piece, error, results if own else None)
        if _RESULTS in piece.task.home.bound:
            return None
        why = piece.task.home.left.get(_RESULTS, "no reason given")
        unsent = errors.CannotReceive(f"a result of {name_of(self.fn)} cannot travel home: {why}")
        return _noted(piece, unsent, None)


def _noted(piece: Chunk, error: BaseException, at: int | None) -> BaseException:
    """The error, with the argument of its call in a note."""
    error.add_note(_range(piece) if at is None else _argument(piece, at))
    return error


def calls_of(iterables: tuple[Iterable[Any], ...]) -> tuple[Iterator[tuple[Any, ...]], int | None]:
    """The arguments of each call, and the number of calls if known."""
    sizes = [len(iterable) for iterable in iterables if isinstance(iterable, Sized)]
    count = min(sizes) if sizes and len(sizes) == len(iterables) else None
    return zip(*iterables, strict=False), count


def name_of(fn: Callable[..., Any]) -> str:
    return getattr(fn, "__name__", None) or name_of(getattr(fn, "func", type(fn)))


def _argument(piece: Chunk, at: int) -> str:
    arguments = piece.calls[at]
    return (
        f"argument {piece.first + at}: "
        f"{reprlib.repr(arguments[0] if len(arguments) == 1 else arguments)}"
    )


def _range(piece: Chunk) -> str:
    last = piece.first + len(piece.calls) - 1
    if len(piece.calls) == 1:
        return _argument(piece, 0)
    return f"one of the arguments {piece.first} to {last}"
