"""Submit code and functions to the pool, and hold what comes back: `Client` and `Task`, both in the shape of concurrent.futures.

Before it: `cell` (the magic) or any script. After it: `http`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import queue
import sys
import threading
import time
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any

from . import bind, config, diagnose, errors, mapping, payload, prelude, transfer, wire
from .http import Gateway

_PATIENCE_S = 120.0  # how long a broken event stream is taken up again before giving up
_RESULT = "_mecapy_result"
_CALL = f"{_RESULT} = _mecapy_fn(*_mecapy_args, **_mecapy_kwargs)"  # bound, not shown: a worker need not render it


class Task(concurrent.futures.Future[Any]):
    """A submitted task. A Future (and awaitable): `result()` is the last expression's value, or raises the cell's own exception.

    `vars`: the variables that came back. `events`: a queue of its events, for one reader; the last one is final.
    `outcome`: how it ended; None until it has.
    """

    def __init__(
        self,
        gateway: Gateway,
        task_id: str,
        name: str,
        packed: payload.Packed,
        namespace: dict[str, Any],
        told: Iterable[wire.Event] | None = None,
    ) -> None:
        """`told`: the stream that began with its submission, if this process submitted it."""
        super().__init__()
        self._told = told
        self.id, self.name = task_id, name
        self.events: queue.SimpleQueue[wire.Event | errors.MecapyError] = queue.SimpleQueue()
        self.home = bind.Home()
        self.outcome: wire.Outcome | None = None
        self._started = False
        self.sent_bytes, self.reused_bytes = 0, 0
        self._gateway, self._packed, self._namespace = gateway, packed, namespace

    def __repr__(self) -> str:
        return f"<Task {self.name or self.id[:8]} {'done' if self.done() else 'submitted'}>"

    def __await__(self) -> Generator[Any, None, Any]:
        return asyncio.wrap_future(self).__await__()

    @property
    def vars(self) -> dict[str, Any]:
        """The variables the task brought back. Waits for its end; does not raise the cell's exception."""
        concurrent.futures.wait([self])
        return self.home.bound

    def running(self) -> bool:
        return self._started and not self.done()

    def cancel(self) -> bool:
        """Stop it, wherever it is. False when it has already ended. The process is dead when `result()` raises."""
        if self.done():
            return False
        return self._gateway.post(f"/tasks/{self.id}/cancel")["status"] not in (wire.COMPLETED, wire.FAILED)

    def logs(self) -> str:
        """All the task printed so far."""
        return logs(self._gateway, self.id)

    def follow(self, on_final: Callable[[wire.Outcome], None] | None = None) -> Task:
        """Start reading its events in the background. `on_final` (else `settle`) gets the outcome, in that thread."""
        reader = threading.Thread(target=self._read, args=(on_final or self.settle,), name=f"mecapy {self.id[:8]}", daemon=True)
        reader.start()
        return self

    def _read(self, on_final: Callable[[wire.Outcome], None]) -> None:
        told, self._told = self._told, None
        try:
            for event in _resumed(self._gateway, self.id, told):
                self._started = self._started or event.type == wire.STARTED
                self.outcome = wire.Outcome.from_json(event.data) if event.type in wire.FINAL else None
                self.events.put(event)
                told = None  # then the end of the loop gives the connection back, for the next task
            if self.outcome is not None:
                on_final(self.outcome)
        except Exception as error:  # whatever it is, nobody may wait for ever
            known = isinstance(error, errors.MecapyError)
            trouble = error if known else errors.CannotReceive(f"the task's end could not be read: {error!r}")
            self.events.put(trouble)
            if on_final == self.settle:
                self.set_exception(trouble)

    def open(self, outcome: wire.Outcome) -> bind.Home:
        """Open the outcome's payload, once, and keep it in `home`."""
        self.home = bind.open_outcome(outcome, self._fetch, self._namespace, self._packed.memo)
        return self.home

    def reopen(self, sent: wire.Payload) -> None:
        """Open the inputs again as they were sent, for a task whose originals this process does not have."""
        stream = self._fetch(sent.pickle_blob) if sent.pickle_blob else sent.pickle
        if stream:
            opened = payload.unpack(stream, map(self._fetch, sent.buffers), dict(self._namespace), on_prelude=lambda _: None)
            self._packed = payload.Packed(b"", (), opened.memo)

    def settle(self, outcome: wire.Outcome) -> None:
        """End the future with the outcome."""
        try:
            home = self.open(outcome)
        except errors.MecapyError as error:
            return self.set_exception(error)
        if outcome.state == wire.CANCELLED:
            super().cancel()
            self.set_running_or_notify_cancel()
        elif outcome.state == wire.FAILED:
            self.set_exception(bind.raised(outcome, home))
        elif _RESULT in home.left:
            self.set_exception(errors.CannotReceive(f"{self.name} ran, but what it returned cannot travel home: {home.left[_RESULT]}"))
        else:
            self.set_result(home.bound.pop(_RESULT, home.value))

    def _fetch(self, digest: str) -> Any:
        return transfer.fetch(self._gateway, digest)


def logs(gateway: Gateway, task_id: str) -> str:
    """All a task printed; of a running one, all it has printed so far."""
    said: list[str] = []
    for event in gateway.events(task_id, follow=False):
        said += [event.data["text"]] if event.type in (wire.STDOUT, wire.STDERR) else []
    return "".join(said)


def _resumed(gateway: Gateway, task_id: str, told: Iterable[wire.Event] | None = None) -> Iterable[wire.Event]:
    """All events of a task, each once and in order, over as many connections as it takes. `told`: the first of these."""
    last_id, broken_at, pause_s = "", 0.0, 0.1
    while True:
        try:
            for event in told if told is not None else gateway.events(task_id, last_id):
                last_id, broken_at, pause_s = event.id, 0.0, 0.1
                yield event
                if event.type in wire.FINAL:
                    return
        except (errors.ConnectionFailed, errors.Unavailable):
            broken_at = broken_at or time.monotonic()
            if time.monotonic() - broken_at > _PATIENCE_S:
                raise
        told = None
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, 5.0)


class Client(concurrent.futures.Executor):
    """The pool as an executor. With no arguments: MECAPY_URL / MECAPY_TOKEN, then the config file, then the embedded stack."""

    def __init__(self, url: str | None = None, token: str | None = None, *, endpoint: config.Endpoint | None = None) -> None:
        self.endpoint = endpoint or (config.resolve() if url is None else config.Endpoint(url, token or "", "arguments"))
        self.gateway = Gateway(self.endpoint.url, self.endpoint.token)
        self._open: set[Task] = set()
        self._shut = False
        self._maps = mapping.Maps(self)

    def __repr__(self) -> str:
        return f"Client({self.gateway.url!r})"

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Task:
        """Call `fn(*args, **kwargs)` on a worker. Raises CannotSend when something cannot travel."""
        call = {"_mecapy_fn": fn, "_mecapy_args": args, "_mecapy_kwargs": kwargs}
        return self.enter(wire.TaskRequest(_CALL, name=mapping.name_of(fn), outputs=(_RESULT,)), call).follow()

    def map(
        self, fn: Callable[..., Any], *iterables: Iterable[Any], timeout: float | None = None, chunksize: int | None = None
    ) -> Iterator[Any]:
        """`fn` of each argument (of one from each iterable, as the built-in `map`), on all workers at once; results in order.

        Many calls travel as one task: as many as take about 0.3 s, or `chunksize`. Arguments are taken from the iterables as needed.
        A failing call raises its own exception, with the argument (counted from 0) in a note; closing the iterator cancels what runs.
        """
        return self._maps.start(fn, iterables, timeout, chunksize, in_order=True)

    def map_unordered(
        self, fn: Callable[..., Any], *iterables: Iterable[Any], timeout: float | None = None, chunksize: int | None = None
    ) -> Iterator[Any]:
        """As `map`, but results as they come."""
        return self._maps.start(fn, iterables, timeout, chunksize, in_order=False)

    def run(self, code: str, inputs: Mapping[str, Any] | None = None, outputs: Sequence[str] | None = None, **options: Any) -> Task:
        """Run source text with `inputs` as its variables. `outputs`: names or globs to bring home (default: all it binds).

        Options as of the magic: name, priority (0–9), timeout (seconds), retries.
        """
        request = wire.TaskRequest(code, outputs=tuple(outputs) if outputs is not None else None, **options)
        return self.enter(request, dict(inputs or {})).follow()

    def enter(self, request: wire.TaskRequest, values: Mapping[str, Any]) -> Task:
        """Send it with the script's own functions, and count it among our futures. Not followed yet."""
        if self._shut:
            raise RuntimeError("cannot schedule new futures after shutdown")
        task = self.send(request, values, _main())
        self._open.add(task)
        task.add_done_callback(self._open.discard)  # pyright: ignore[reportArgumentType]
        return task

    def send(
        self,
        request: wire.TaskRequest,
        values: Mapping[str, Any],
        namespace: dict[str, Any],
        words: Sequence[str] = (),
        imports: Sequence[str] = (),
    ) -> Task:
        """Pack `values`, upload what the store lacks, submit. `words`, `imports`: as for `prelude.make`."""
        packed = _pack(values, namespace, words, imports)
        sent, sent_bytes = self._upload(packed)
        python = f"{sys.version_info.major}.{sys.version_info.minor}"
        body = dataclasses.replace(request, payload=sent, python=python).as_json()
        submitted, told = self.gateway.submit(body, uuid.uuid4().hex)
        task = Task(self.gateway, submitted["task_id"], request.name, packed, namespace, told)
        task.events.put(wire.Event("", wire.QUEUED, submitted))
        task.sent_bytes, task.reused_bytes = sent_bytes, packed.size_bytes - sent_bytes
        return task

    def attach(self, task_id: str, name: str, namespace: dict[str, Any]) -> Task:
        """A task submitted before, perhaps by another process. What its result says of its inputs is found by opening them again."""
        request = self.gateway.get(f"/tasks/{task_id}/request")
        sent = wire.Payload.from_json(request["payload"]) if request.get("payload") else wire.Payload()
        task = Task(self.gateway, task_id, name, payload.Packed(b"", (), {}), namespace)
        task.reopen(sent)
        return task

    def outcome(self, task_id: str) -> wire.Outcome:
        """How a finished task ended. Raises Refused while it has not."""
        result = self.gateway.get(f"/tasks/{task_id}/result")
        return wire.Outcome.from_json(result | {"state": result["status"]})

    def overview(self) -> dict[str, Any]:
        """What `%mecapy` shows."""
        me, tasks = self.gateway.get("/me"), self.gateway.get("/tasks", limit=10)["tasks"]
        workers = [worker["info"] | {"id": worker["id"]} for worker in self.gateway.get("/workers")]
        about = {"user": me["owner"], "url": self.endpoint.url, "source": self.endpoint.source, "queue": me["tasks"]}
        return about | {"workers": workers, "tasks": tasks}

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._shut = True
        for task in list(self._open) if cancel_futures else ():
            task.cancel()
        if wait:
            concurrent.futures.wait(list(self._open))
            self.gateway.close()

    def _upload(self, packed: payload.Packed) -> tuple[wire.Payload, int]:
        """See to it that the store has every buffer; what to name in the request, and the bytes that had to travel."""
        inline = len(packed.stream) <= wire.INLINE_BYTES
        sent = transfer.send(self.gateway, packed.buffers if inline else [packed.stream, *packed.buffers])
        if inline:
            return wire.Payload(packed.stream, "", sent.digests), sent.sent_bytes + len(packed.stream)
        return wire.Payload(b"", sent.digests[0], sent.digests[1:]), sent.sent_bytes


def _main() -> dict[str, Any]:
    """The namespace whose functions travel as members of the task's own: the script's or the notebook's."""
    return sys.modules["__main__"].__dict__


def _pack(values: Mapping[str, Any], namespace: dict[str, Any], words: Sequence[str], imports: Sequence[str]) -> payload.Packed:
    """Pack, or say in one sentence which variable cannot travel and why."""
    diagnose.check_sizes(values)
    try:
        return payload.pack([payload.by_name(values)], namespace, prelude=lambda own: prelude.make(own, values, words, imports))
    except errors.MecapyError:
        raise
    except Exception as trouble:
        for name, value in values.items():
            sentence = diagnose.trouble(value, name, lambda part: payload.pack([part], namespace))
            if sentence:
                raise errors.CannotSend(sentence) from trouble
        raise errors.CannotSend(f"the cell's inputs cannot travel to the worker: {trouble}") from trouble
