"""`@remote`: a function that runs here when it is called, and on the pool by `submit` and `map`.

Imported in a task, too, where such a function is called as any other: the client comes later.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Generic, ParamSpec, TypeVar, overload

if TYPE_CHECKING:
    from mecapy_jupyter.client.client import Client
    from mecapy_jupyter.client.config import Endpoint
    from mecapy_jupyter.client.task import Task

P = ParamSpec("P")
R = TypeVar("R")


class RemoteFunction(Generic[P, R]):
    """A function with the pool behind it. `f(x)` runs here. What the others raise, `Client`'s
    methods of that name do.
    """

    def __init__(self, fn: Callable[P, R], options: dict[str, Any]) -> None:
        functools.update_wrapper(self, fn)
        self._fn, self._options = fn, options

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._fn(*args, **kwargs)

    def __get__(self, instance: object, owner: type | None = None) -> RemoteFunction[..., R]:
        """A method's `submit` sends its object along."""
        if instance is None:
            return self
        return RemoteFunction(self._fn.__get__(instance, owner), self._options)

    def __repr__(self) -> str:
        return f"<remote {self._fn!r}>"

    def options(self, **options: Any) -> RemoteFunction[P, R]:
        """The same function with these options: timeout, retries, priority, name, share."""
        from mecapy_jupyter.client.call_options import CallOptions

        changed = self._options | options
        CallOptions().changed(changed)
        return RemoteFunction(self._fn, changed)

    def unwrapped(self) -> tuple[Callable[P, R], dict[str, Any]]:
        """The function itself, and its options."""
        return self._fn, self._options

    def submit(self, *args: P.args, **kwargs: P.kwargs) -> Task:
        """Call it on a worker: a Future."""
        return self._client().submit(self._fn, *args, **kwargs)

    def map(self, *iterables: Iterable[Any], **how: Any) -> Iterator[R]:
        """Call it for each argument, on all workers at once; results in order. Keywords as of
        `Client.map`.
        """
        return self._client().map(self._fn, *iterables, **how)

    def starmap(self, arguments: Iterable[Iterable[Any]], **how: Any) -> Iterator[R]:
        """Like `map`, each item being all arguments of one call."""
        return self._client().starmap(self._fn, arguments, **how)

    def map_items(self, *iterables: Iterable[Any], **how: Any) -> Iterator[tuple[Any, R]]:
        """Like `map`, each result with its argument."""
        return self._client().map_items(self._fn, *iterables, **how)

    def _client(self) -> Client:
        from mecapy_jupyter.client import config

        return client_of(config.resolve()).options(**self._options)


@functools.cache
def client_of(endpoint: Endpoint) -> Client:
    """One client for each gateway: it knows how long calls take, and keeps its connections."""
    from mecapy_jupyter.client.client import Client

    return Client(endpoint=endpoint)


def plain(fn: Callable[..., Any]) -> tuple[Callable[..., Any], dict[str, Any]]:
    """The function that `@remote` was given, and its options; any other function as it is."""
    if isinstance(fn, RemoteFunction):
        return fn.unwrapped()
    if not callable(fn):
        raise TypeError(f"the first argument must be a function, not {fn!r}")
    return fn, {}


def _with_options(options: dict[str, Any], fn: Callable[P, R]) -> RemoteFunction[P, R]:
    return remote(fn).options(**options)


@overload
def remote(fn: Callable[P, R], /) -> RemoteFunction[P, R]: ...
@overload
def remote(**options: Any) -> Callable[[Callable[P, R]], RemoteFunction[P, R]]: ...
def remote(fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Give a function `submit`, `map`, `starmap`, `map_items` and `options`, which run it on the
    pool; called as it is, it runs here.

        @remote
        def solve(load): …

        @remote(timeout="2h", retries=2)
        def optimise(start): …
    """
    if fn is None:
        return functools.partial(_with_options, options)
    if not callable(fn):
        raise TypeError(f"@remote decorates a function, not {fn!r}")
    return RemoteFunction(fn, {})
