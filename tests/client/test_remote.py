"""`@remote`: a function that runs here when called, and on the pool when submitted or mapped."""

from __future__ import annotations

import os
import time
from concurrent.futures import CancelledError
from typing import Any

import pytest

from mecapy_jupyter import Client, remote
from mecapy_jupyter.client import task as tasks
from mecapy_jupyter.shared import errors


@pytest.fixture(autouse=True)
def the_stack(running_stack: Any, alone: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MECAPY_URL", running_stack.url)
    monkeypatch.setenv("MECAPY_TOKEN", running_stack.token)


FACTOR = 3


@remote
def scaled(number: float, by: float = 1.0) -> float:
    """A docstring."""
    return FACTOR * number * by


@remote
def factorial(number: int) -> int:
    return number * factorial(number - 1) if number else 1


@remote(timeout="15min", retries=1, name="where")
def process() -> int:
    return os.getpid()


class Beam:
    def __init__(self, length: float) -> None:
        self.length = length

    @remote
    def deflection(self, load: float) -> float:
        return load * self.length**3 / 3


def inverse(number: float) -> float:
    print(f"inverse of {number}")
    return 1 / number


def test_called_it_runs_here() -> None:
    """A remote function is the function: its value, its name, its docstring."""
    assert scaled(2.0, by=2.0) == 12.0
    assert (scaled.__name__, scaled.__doc__) == ("scaled", "A docstring.")
    assert process() == os.getpid()


def test_submitted_it_runs_on_the_pool() -> None:
    """`submit` gives a Future of the call, with what the function reads of its module."""
    assert scaled.submit(2.0, by=4.0).result(240) == 24.0
    assert process.submit().result(240) != os.getpid()


def test_it_may_call_itself_there() -> None:
    """On the worker, a remote function that is called runs there."""
    assert factorial.submit(6).result(240) == 720


def test_a_method_sends_its_object() -> None:
    """`submit` of a bound method calls it for that object."""
    assert Beam(3.0).deflection.submit(2.0).result(240) == 18.0
    assert Beam(3.0).deflection(2.0) == 18.0


def test_maps() -> None:
    """`map`, `starmap` and `map_items` are the client's."""
    assert list(scaled.map([1, 2, 3])) == [3.0, 6.0, 9.0]
    assert list(scaled.map([1, 2], [10, 20])) == [30.0, 120.0]
    assert list(scaled.starmap([(1, 2), (3, 4)])) == [6.0, 36.0]
    assert dict(scaled.map_items([1, 2], ordered=False)) == {1: 3.0, 2: 6.0}
    assert list(scaled.map_items([1, 2], [1, 3])) == [((1, 1), 3.0), ((2, 3), 18.0)]


def test_options_stand_in_the_task(client: Client) -> None:
    """Options of the decorator, and of `options`, are those of its tasks."""
    task = process.options(priority=7).submit()
    task.result(240)
    status = client.gateway.get(f"/tasks/{task.id}")
    assert (status["name"], status["priority"]) == ("where", 7)
    with pytest.raises(TypeError, match="'memroy' is no option of a call; there are: name"):
        process.options(memroy="16GB")
    for wrong in ({"timeout": "soon"}, {"timeout": 0}, {"priority": 10}, {"retries": -1}):
        with pytest.raises(ValueError, match=str(next(iter(wrong.values())))):
            process.options(**wrong)
    with pytest.raises(TypeError, match="decorates a function"):
        remote(3)  # type: ignore[call-overload]


def test_failing_calls_stand_in_the_place_of_results(client: Client) -> None:
    """`return_exceptions` goes on after a failing call; the exception is the call's own, names its
    argument and knows its lines.
    """
    first, failed, last = client.map(inverse, [1, 0, 4], return_exceptions=True, chunksize=3)
    assert (first, last) == (1.0, 0.25)
    assert isinstance(failed, ZeroDivisionError)
    assert failed.__notes__ == ["argument 1: 0"]
    items = dict(client.map_items(inverse, [2, 0], return_exceptions=True))
    assert items[2] == 0.5 and isinstance(items[0], ZeroDivisionError)


def test_a_lost_chunk_is_the_failure_of_its_calls(client: Client) -> None:
    """Where no call of a chunk can tell what happened, each one's result is the reason."""
    results = list(client.map(_gone, [0, 1], return_exceptions=True, chunksize=1))
    assert results[0] == 0 and isinstance(results[1], errors.MecapyError)


def _gone(now: int) -> int:
    if now:
        os._exit(3)
    return now


def test_a_timeout_is_the_limit_of_each_call(client: Client) -> None:
    """`options(timeout=…)` ends the call that takes longer, and no other."""
    for limit_s in (3.0, 60.0):  # a busy machine may need more than that for a short call
        limited = client.options(timeout=limit_s)
        results = list(limited.map(time.sleep, [0.0, 600.0, 0.0], return_exceptions=True))
        assert isinstance(results[1], errors.MecapyError)
        if results[0] is results[2] is None:
            return
    raise AssertionError(results)


def test_after_cancel_it_is_cancelled(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """`cancel()` is followed by `cancelled()`, for what waits and what runs; a second one is true,
    too.
    """
    monkeypatch.setattr(tasks, "_STOPPED_S", 240.0)  # a busy machine may take longer than it is
    running = client.submit(time.sleep, 1000)
    while running.events.get(timeout=300).type != "started":
        pass
    assert running.cancel() and running.cancelled() and running.done() and running.cancel()
    with pytest.raises(CancelledError):
        running.result(0)
    done = client.submit(abs, -1)
    assert done.result(240) == 1 and not done.cancel() and not done.cancelled()


def test_clients_of_options_are_one_client(running_stack: Any) -> None:
    """A shutdown is for the client and for what `options` made of it."""
    client = Client(running_stack.url, running_stack.token)
    hurried = client.options(priority=8)
    task = hurried.submit(abs, -3)
    client.shutdown()
    assert task.done() and task.result() == 3
    with pytest.raises(RuntimeError, match="after shutdown"):
        hurried.submit(abs, -3)


def test_a_cause_comes_along(client: Client) -> None:
    """An exception has the cause it was raised from."""
    error = client.submit(_caused).exception(240)
    assert isinstance(error, ValueError) and isinstance(error.__cause__, KeyError)


def _caused() -> None:
    try:
        {}["load"]
    except KeyError as missing:
        raise ValueError("no load") from missing


def test_prints_of_a_call_appear_where_it_was_submitted(
    client: Client, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a submitted call prints, here, before its result is there."""
    assert client.submit(inverse, 4).result(240) == 0.25
    assert client.run("print('of a text'); 3").result(240) == 3
    assert capsys.readouterr().out == "inverse of 4\nof a text\n"
