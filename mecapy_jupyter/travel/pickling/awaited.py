"""Results of other tasks among the inputs. In the kernel, a Future of ours is written as its task's
id; in the child, where the result has been opened before the inputs are, the id becomes the result,
or a finished Future with it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from concurrent.futures import CancelledError, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from mecapy_jupyter.shared.errors import CannotReceive, ParentFailed


@dataclass(slots=True)
class MetFutures:
    """The Futures that are met while inputs are packed, by the ids of their tasks. `as_futures`:
    what the other side gets, as a cell that reads one expects it; else the results, as a call
    expects. `ended`: those whose result travels itself.
    """

    as_futures: bool
    futures: dict[str, Future[Any]] = field(default_factory=dict[str, Future[Any]])
    ended: list[Future[Any]] = field(default_factory=list[Future[Any]])


_packing = threading.local()
results: dict[str, object] = {}
"""The results in the child, by task id."""


@contextmanager
def meeting(as_futures: bool) -> Generator[MetFutures]:
    """Inside the block, Futures of ours can be pickled."""
    before: MetFutures | None = getattr(_packing, "met", None)
    _packing.met = met = MetFutures(as_futures)
    try:
        yield met
    finally:
        _packing.met = before


def reduced(task_id: str, future: Future[Any]) -> tuple[Callable[[str], object], tuple[str]]:
    """What a Future's `__reduce__` returns. Raises TypeError outside of `meeting`."""
    met = _met()
    met.futures[task_id] = future
    return (future_of if met.as_futures else result_of), (task_id,)


def reduced_with_result(
    future: Future[Any],
) -> tuple[Callable[[Any, BaseException | None], object], tuple[Any, BaseException | None]]:
    """The same, of one that has no task to itself. Waits for its end."""
    met = _met()
    met.ended.append(future)
    wait([future])
    error = CancelledError() if future.cancelled() else future.exception()
    if error is not None and not met.as_futures:
        raise ParentFailed(f"{future!r}, which is among the inputs, failed") from error
    value = None if error is not None else future.result()
    return (finished_future if met.as_futures else _only_result), (value, error)


def _met() -> MetFutures:
    met: MetFutures | None = getattr(_packing, "met", None)
    if met is None:
        raise TypeError("a task travels only as an input of another task")
    return met


def without_results(memo: dict[int, object]) -> dict[int, object]:
    """The numbered objects that are the same on both sides. A Future that stands for its result is
    not.
    """
    met: MetFutures | None = getattr(_packing, "met", None)
    if met is None or met.as_futures or not (met.futures or met.ended):
        return memo
    futures = {id(future) for future in (*met.futures.values(), *met.ended)}
    return {number: obj for number, obj in memo.items() if id(obj) not in futures}


class _OfAParent:
    """Stands for an input of a parent, which only the parent had."""


def result_of(task_id: str) -> object:
    return results[task_id] if task_id in results else _OfAParent()


def future_of(task_id: str) -> Future[Any]:
    if task_id in results:
        return finished_future(results[task_id], None)
    missing = CannotReceive(f"the result of {task_id[:8]} is not an input here")
    return finished_future(None, missing)


def finished_future(result: object, error: BaseException | None) -> Future[Any]:
    future = Future[Any]()
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
    return future


def _only_result(result: object, _: BaseException | None) -> object:
    return result
