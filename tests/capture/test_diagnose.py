"""What a person reads when a variable cannot travel, and how large variables are taken to be."""

from __future__ import annotations

import asyncio
import ctypes
import functools
import re
import socket
import sqlite3
import threading
import time
import types
import weakref
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pytest

from mecapy_jupyter.capture import diagnose, parts


class Solver:
    def __init__(self, log: Any) -> None:
        self.log, self.steps = log, 3


class Slotted:
    __slots__ = ("empty", "part")

    def __init__(self, part: Any) -> None:
        self.part = part


@dataclass
class Model:
    solver: Any
    sizes: list[int] = field(default_factory=list)

    @property
    def result(self) -> int:
        raise AssertionError("a property must not run")


class Refuses:
    def __reduce__(self) -> Any:
        raise TypeError("Refuses never travels")


class SaysWhat:
    def __init__(self, part: Any) -> None:
        self._part = part

    def __reduce__(self) -> Any:
        return SaysWhat, (self._part,)


class Careful:
    """Has a lock, and leaves it out when it is pickled."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        return {}


def closing_over(value: Any) -> Any:
    def callback() -> Any:
        return value

    return callback


def lock() -> Any:
    return threading.Lock()


def with_default(log: Any = lock()) -> Any:  # noqa: B008
    return log


def cycle() -> Any:
    whole: dict[str, Any] = {"n": 1}
    whole["self"] = whole
    whole["items"] = [whole, lock()]
    return whole


def by_value(function: Any) -> Any:
    """As a function of a notebook is: pickled with what it is made of."""
    return types.FunctionType(
        function.__code__,
        {"__name__": "__main__"},
        "fn",
        function.__defaults__,
        function.__closure__,
    )


PATHS: list[tuple[Any, str]] = [
    (lambda: Model(Solver(lock())), "`v.solver.log` is a lock"),
    (lambda: {"callback": closing_over(lock())}, "`v['callback'].<closure>.value` is a lock"),
    (lambda: [1, 2, 3, lock()], "`v[3]` is a lock"),
    (lambda: (1, deque([lock()])), "`v[1][0]` is a lock"),
    (lambda: closing_over(lock()), "`v.<closure>.value` is a lock"),
    (lambda: by_value(with_default), "`v.<default>.log` is a lock"),
    (lambda: functools.partial(print, lock()), "`v.args[0]` is a lock"),
    (
        lambda: functools.partial(print, file=lock()),
        "`v.keywords['file'] is a lock".replace("'] is", "']` is"),
    ),
    (lambda: Solver(lock()).__init__, "`v.__self__.log` is a lock"),
    (lambda: Slotted(lock()), "`v.part` is a lock"),
    (lambda: SaysWhat(lock()), "`v._part` is a lock"),
    (lambda: {Model: Solver(lock())}, "`v[<ABCMeta>].log` is a lock".replace("ABCMeta", "type")),
    (lambda: np.array([1, lock()], dtype=object), "`v.flat[1]` is a lock"),
    (lambda: pd.DataFrame({"a": [1, 2], "b": [1, lock()]}), "`v['b'].iloc[1]` is a lock"),
    (cycle, "`v['items'][1]` is a lock"),
    (lambda: [Careful(), Model(lock())], "`v[1].solver` is a lock"),
    (lambda: [*range(50_000), lock()], "`v[50000]` is a lock"),
    (
        lambda: {"a": [Refuses()]},
        "`v['a'][0]` is an object that cannot be pickled ('Refuses never travels')",
    ),
]


@pytest.mark.parametrize(("make", "expected"), PATHS, ids=[expected for _, expected in PATHS])
def test_the_path_to_the_part_is_named(make: Any, expected: str) -> None:
    """The sentence leads to the one part that cannot travel."""
    said = diagnose.trouble(make(), "v", cloudpickle.dumps)
    assert expected in said and "the variable `v` cannot travel to the worker" in said


KINDS: list[tuple[Any, str]] = [
    (lambda: (i for i in "abc"), "a generator"),
    (lambda: threading.Condition(), "a lock"),
    (lambda: threading.RLock(), "a lock"),
    (lambda: threading.Thread(), "a thread"),
    (lambda: threading.local(), "thread-local data"),
    (lambda: memoryview(b"x"), "a memoryview"),
    (lambda: {}.keys(), "a view of a dict"),
    (lambda: re.match("a", "a"), "a regular expression's match"),
    (lambda: weakref.ref(Solver), "a weak reference"),
    (lambda: ctypes.pointer(ctypes.c_int(1)), "a ctypes object"),
    (lambda: types.MappingProxyType({}), "a read-only view of a dict"),
]


def refuse(value: object) -> None:
    raise TypeError(f"cannot pickle {type(value).__name__}")


@pytest.mark.parametrize(("make", "expected"), KINDS, ids=[expected for _, expected in KINDS])
def test_known_kinds_come_with_advice(make: Any, expected: str) -> None:
    """What cannot travel as a rule is called by its everyday name, and the sentence says what to do
    instead.
    """
    said = diagnose.why(make(), "v", refuse)
    assert f"it is {expected} (type " in said and "; " in said


def test_open_things_are_called_by_name(tmp_path: Path) -> None:
    """Files (with their path), sockets and database connections."""
    with (tmp_path / "log.txt").open("w") as log, socket.socket() as network:
        database = sqlite3.connect(":memory:")
        assert (
            "an open file (" in (said := diagnose.trouble(Solver(log), "v", cloudpickle.dumps))
            and "log.txt" in said
            and "`v.log`" in said
        )
        assert "a network connection" in diagnose.trouble(network, "v", cloudpickle.dumps)
        assert "a database connection" in diagnose.trouble([database], "v", cloudpickle.dumps)
        database.close()


async def test_asyncio_things_are_called_by_name() -> None:
    """A running task, and its loop."""
    loop = asyncio.get_running_loop()
    task = loop.create_task(asyncio.sleep(0))
    assert "asyncio task" in diagnose.trouble(task, "v", cloudpickle.dumps)
    assert "an asyncio event loop" in diagnose.trouble(loop, "v", cloudpickle.dumps)
    await task


def test_what_travels_is_no_trouble() -> None:
    """Nothing is said about a value that can be pickled, even if it holds a lock that it leaves out
    itself.
    """
    assert diagnose.trouble([Careful(), np.ones(3), print, Model], "v", cloudpickle.dumps) == ""


class Endless:
    def __getstate__(self) -> Any:
        return self.__getstate__()


def test_depth_is_named() -> None:
    """An object whose own pickling calls itself without end is named, with where it is."""
    said = diagnose.trouble({"a": [1, Endless()]}, "v", cloudpickle.dumps)
    assert "`v` cannot travel" in said and "`v['a'][1]` is nested too deeply" in said


def test_the_search_is_bounded() -> None:
    """A pickler that refuses everything, on a large cyclic structure, is answered in seconds."""
    whole: list[Any] = [{} for _ in range(20_000)]
    for part in whole:
        part["whole"] = whole
    start = time.process_time()
    assert "cannot travel" in diagnose.why(whole, "v", refuse)
    assert time.process_time() - start < diagnose._SEARCH_S + 2  # pyright: ignore[reportPrivateUsage]


def test_a_part_inside_a_package_object_is_not_asked_for() -> None:
    """Nobody can send an inner part of a library's object: the advice is about the whole."""
    frame = pd.DataFrame()
    frame.attrs["log"] = weakref.ref(Solver(None))
    said = diagnose.why({"run": frame}, "study", cloudpickle.dumps)
    assert "weak reference" in said and "build the DataFrame inside the cell" in said, said


def test_a_partial_stays_bare() -> None:
    """A look into a `partial` does not give it a `__dict__`, and one of it is merged with it."""
    add = functools.partial(print, 1)
    assert list(parts.attributes(add)) == []
    assert functools.partial(add, 2).func is print


def test_those_that_travel_are_found_among_others() -> None:
    values: dict[str, object] = {f"number_{n}": n for n in range(20)}
    values |= {"lines": (line for line in "ab"), "lock": threading.Lock()}
    assert diagnose.travelling(values, {}) == {f"number_{n}" for n in range(20)}
    assert diagnose.travelling({}, {}) == set()
