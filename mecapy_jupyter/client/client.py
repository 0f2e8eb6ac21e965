"""`Client`: submits code and functions to the pool, with the interface of concurrent.futures."""

from __future__ import annotations

import concurrent.futures
import copy
import dataclasses
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from typing import Any, TypeVar

from mecapy_jupyter import wire
from mecapy_jupyter.capture import packing
from mecapy_jupyter.client import (
    config,
    gateway_api,
    result_cache,
    signing,
    submission,
    task_logs,
)
from mecapy_jupyter.client.call_options import CallOptions
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.client.map_history import Maps
from mecapy_jupyter.client.mapping import MapOptions, calls_of, name_of
from mecapy_jupyter.client.overview import Overview, overview
from mecapy_jupyter.client.shared_call import SharedCall
from mecapy_jupyter.client.sharing import Sharing
from mecapy_jupyter.client.task import Task
from mecapy_jupyter.travel.pickling import payload

# bound and not shown, so a worker need not render it
_CALL = f"{wire.RESULT} = {wire.CALLED}(*_mecapy_args, **_mecapy_kwargs)"


T = TypeVar("T", bound=Task)


@dataclasses.dataclass(slots=True)
class _Shutdown:
    """Shared by a client and those made with `options`."""

    began: bool = False
    cancels: bool = False


class Client(concurrent.futures.Executor):
    """The pool as an executor. With no arguments: MECAPY_URL / MECAPY_TOKEN, then the config file,
    then the embedded stack.
    """

    def __init__(
        self,
        url: str | None = None,
        token: str | None = None,
        *,
        endpoint: config.Endpoint | None = None,
    ) -> None:
        self.endpoint = endpoint or (
            config.resolve() if url is None else config.Endpoint(url, token or "", "arguments")
        )
        self.gateway = Gateway.of(self.endpoint)
        self._open, self._sent = set[Task](), weakref.WeakValueDictionary[str, Task]()
        self._options, self._shutdown = CallOptions(), _Shutdown()
        self._maps = Maps(self.gateway, self.enter)
        self._sharing = Sharing(self._maps, self.enter, self._alone)

    def __repr__(self) -> str:
        return f"Client({self.gateway.url!r})"

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Task:
        """Call `fn(*args, **kwargs)` on a worker. Changes of arguments stay there; the result is a
        copy. A Task among the arguments is its result there. Raises CannotSend.

        Many short calls share a process, unless `options(share=False)`.
        """
        self.accepts()
        call = {wire.CALLED: fn, "_mecapy_args": args, "_mecapy_kwargs": kwargs}
        request = self._options.request(_CALL, name_of(fn), (wire.RESULT,))
        cache = result_cache.of_call(self.gateway, request) if self._options.cache else None
        here = packing.main_namespace()
        ready = submission.prepared(self.gateway, request, call, here, cache=cache)
        if self._sharing.wants(fn, self._options, len(self._open)) and self._sharing.takes(ready):
            return self._sharing.add(fn, self._kept(SharedCall(self.gateway, ready)))
        return self._sharing.watch(fn, self._alone(ready))

    def _alone(self, ready: submission.PackedCall) -> Task:
        if self._shutdown.cancels:
            raise concurrent.futures.CancelledError
        return self._kept(self.submit_prepared(ready)).follow(on_event=task_logs.show_printed)

    def options(self, **options: Any) -> Client:
        """This client with other options, as `CallOptions` has them. Connections are shared, and a
        shutdown ends both.
        """
        changed = copy.copy(self)
        changed._options = self._options.changed(options)
        return changed

    def map(
        self,
        fn: Callable[..., Any],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int | None = None,
        return_exceptions: bool = False,
        ordered: bool = True,
    ) -> Iterator[Any]:
        """`fn` of each argument (one from each iterable, like the built-in `map`) on all workers;
        results in order, or as they come with `ordered=False`. `timeout`: of the whole map, in
        seconds; `options(timeout=…)` is the limit of each call.

        Many calls travel as one task: about 0.3 s of calls, or `chunksize`. Arguments are taken
        from the iterables as needed. Changes of arguments stay on the worker, where calls of one
        task see the same object. A failing call raises its own exception with the argument (counted
        from 0) in a note; `return_exceptions` returns it instead. Closing the iterator cancels.
        """
        how = MapOptions(self._options, timeout, chunksize, return_exceptions, ordered)
        return self._map(fn, *calls_of(iterables), how)

    def map_unordered(self, fn: Callable[..., Any], *iterables: Iterable[Any], **how: Any) -> Any:
        """Like `map`, with results as they come."""
        return self.map(fn, *iterables, ordered=False, **how)

    def starmap(
        self, fn: Callable[..., Any], arguments: Iterable[Iterable[Any]], **how: Any
    ) -> Iterator[Any]:
        """Like `map`; each item has all arguments of one call."""
        count = len(arguments) if isinstance(arguments, Sized) else None
        return self._map(fn, map(tuple, arguments), count, MapOptions(self._options, **how))

    def map_items(
        self, fn: Callable[..., Any], *iterables: Iterable[Any], **how: Any
    ) -> Iterator[tuple[Any, Any]]:
        """Like `map`; each result comes with its argument (a tuple, from several iterables)."""
        options = MapOptions(self._options, with_argument=True, **how)
        return self._map(fn, *calls_of(iterables), options)

    def _map(
        self,
        fn: Callable[..., Any],
        calls: Iterator[tuple[Any, ...]],
        count: int | None,
        how: MapOptions,
    ) -> Iterator[Any]:
        self.accepts()
        return self._maps.start(fn, calls, count, how)

    def run(
        self,
        code: str,
        inputs: Mapping[str, Any] | None = None,
        outputs: Sequence[str] | None = None,
        **options: Any,
    ) -> Task:
        """Run source text with `inputs` as its variables.

        `outputs`: names or globs to bring home (default: all that it binds). Unlike `submit`, it
        changes its inputs in place here when it ends, like a cell. Options as of the magic: name,
        priority (0–9), timeout (seconds), retries.
        """
        self.accepts()
        request = wire.TaskRequest(
            code, outputs=tuple(outputs) if outputs is not None else None, **options
        )
        return self.enter(request, dict(inputs or {})).follow(on_event=task_logs.show_printed)

    def accepts(self) -> None:
        """Raises after a shutdown."""
        if self._shutdown.began:
            raise RuntimeError("cannot schedule new futures after shutdown")

    def enter(
        self, request: wire.TaskRequest, values: Mapping[str, Any], cached: bool = False
    ) -> Task:
        """Send it with the script's own functions and keep it among our futures. `cached`: a kept
        result will do.

        Not followed yet. A map that began before the shutdown continues, because other executors
        have submitted all its calls by then.
        """
        if self._shutdown.cancels:
            raise concurrent.futures.CancelledError
        cache = result_cache.of_call(self.gateway, request) if cached else None
        here = packing.main_namespace()
        ready = submission.prepared(self.gateway, request, values, here, cache=cache)
        return self._kept(self.submit_prepared(ready))

    def _kept(self, task: T) -> T:
        """Among our futures until it has ended."""
        self._open.add(task)
        task.add_done_callback(self._open.discard)  # pyright: ignore[reportArgumentType]
        return task

    def submit_prepared(
        self,
        ready: submission.PackedCall,
        on_task: Callable[[Task], object] = lambda _: None,
        *,
        followed: bool = True,
    ) -> Task:
        """`on_task` gets the task at once, to cancel it at an interrupt. Not `followed`: no event
        stream is opened.
        """
        task = submission.submit(self.gateway, ready, on_task, followed=followed)
        if followed:
            self._sent[task.id] = task
        return task

    def attach(
        self, task_id: str, name: str, namespace: dict[str, Any], *, trust: bool = False
    ) -> Task:
        """A task submitted before, perhaps by another process.

        Its inputs are opened again to resolve references in its result. No pickle of a task without
        this user's signature is opened, unless `trust`.
        """
        if (sent_here := self._sent.get(task_id)) is not None:
            return Task(self.gateway, task_id, name, sent_here.packed, namespace)
        request = gateway_api.request(self.gateway, task_id)
        task = Task(self.gateway, task_id, name, payload.Packed(b"", (), {}), namespace)
        task.opens = trust or signing.is_signed(request)
        if task.opens:
            task.reopen(request.payload or wire.Payload())
        return task

    def outcome(self, task_id: str) -> wire.Outcome:
        """How a finished task ended. Raises Refused while it has not."""
        return gateway_api.outcome(self.gateway, task_id)

    def overview(self) -> Overview:
        """What `%mecapy` shows."""
        return overview(self.gateway, self.endpoint.source)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._shutdown.began = True
        self._shutdown.cancels |= cancel_futures
        for task in list(self._open) if cancel_futures else ():
            task.request_cancel()
        if wait:
            concurrent.futures.wait(list(self._open))
            self.gateway.close()
