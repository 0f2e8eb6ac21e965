"""`Client` as concurrent.futures knows executors, from a script of its own."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import CancelledError, Executor, as_completed
from pathlib import Path

import numpy as np
import pytest

from mecapy_jupyter import Client

from . import calls


def test_futures_of_submit(client: Client) -> None:
    """`as_completed` and `result` know them, and exceptions are the function's own."""
    assert isinstance(client, Executor)
    futures = {client.submit(divmod, number, 3): number for number in (1, 2, 10)}
    assert {futures[done]: done.result() for done in as_completed(futures, timeout=240)} == {
        1: (0, 1),
        2: (0, 2),
        10: (3, 1),
    }
    failed = client.submit(divmod, 1, 0)
    assert isinstance(failed.exception(timeout=240), ZeroDivisionError)


def test_a_changed_argument_comes_back_as_a_copy(client: Client) -> None:
    """Three calls with one argument give three results; the argument stays what it was. A class is
    the same on both sides.
    """
    model, array = calls.Model(), np.ones(100_000)
    model.parts = []
    trained = [client.submit(calls.train, model, rate) for rate in (1, 2, 3)]
    scaled = [client.submit(calls.scale, array, by) for by in (2, 3)]
    assert [(task.result(240).loss, task.result(240).parts) for task in trained] == [
        (2, [1]),
        (4, [2]),
        (6, [3]),
    ]
    assert all(
        type(task.result()) is calls.Model and task.result() is not model for task in trained
    )
    assert [float(task.result(240).sum()) for task in scaled] == [200_000.0, 300_000.0]
    assert (model.loss, model.parts, array.sum()) == (0.0, [], 100_000.0)


def test_an_argument_returned_as_it_was_is_a_copy(client: Client) -> None:
    """Writing to what came back leaves the argument alone; parts that were one object still are."""
    array = np.zeros(100_000)
    back = client.submit(
        calls.same, {"a": array, "again": array, "kind": calls.Model, "fn": calls.same}
    ).result(240)
    back["a"][0] = 1.0
    assert back["again"] is back["a"] and array[0] == 0.0
    assert back["kind"] is calls.Model and back["fn"] is calls.same


def test_shutdown(client: Client) -> None:
    """After shutdown, which waits for what is under way, nothing is taken any more."""
    with client:
        future = client.submit(abs, -3)
    assert future.done()
    assert future.result() == 3
    with pytest.raises(RuntimeError, match="after shutdown"):
        client.submit(abs, -3)
    with pytest.raises(RuntimeError, match="after shutdown"):
        client.map(abs, [1])


def test_result_waits_no_longer_than_told(client: Client) -> None:
    """`result(timeout)` raises TimeoutError, and the task can be cancelled then."""
    import time

    future = client.submit(time.sleep, 1000)
    with pytest.raises(TimeoutError):
        future.result(timeout=0.2)
    assert future.cancel()
    with pytest.raises(CancelledError):
        future.result(timeout=240)
    assert future.cancelled()


_MODULE = '''
class Beam:
    """A class of a module beside the script."""

    def __init__(self, length):
        self.length = length

    def deflection(self, load):
        return load * self.length**3 / 3
'''

_SCRIPT = """
import functools, os
from mecapy_jupyter import Client
from beams import Beam

FACTOR = 3

class Scaled:
    def __init__(self, by):
        self.by = by
    def __call__(self, number):
        return self.by * number * FACTOR

def tripled(number):
    return helper(number)

def helper(number):
    return FACTOR * number

if __name__ == "__main__":
    with Client() as client:
        pid = client.submit(os.getpid)
        beam = client.submit(Beam, 2.0)
        answers = [
            client.submit(tripled, 2),
            client.submit(lambda number: number + FACTOR, 2),
            client.submit(functools.partial(pow, 2), 5),
            client.submit(functools.partial(tripled, number=4)),
            client.submit(Beam(2.0).deflection, 3.0),
            client.submit(Scaled(10), 2),
            client.submit("{0}-{1}".format, 1, 2),
        ]
        print([answer.result(240) for answer in answers])
        assert pid.result(240) != os.getpid()
        assert type(beam.result(240)) is Beam
        print(list(client.map(Scaled(2), [1, 2, 3])),
              list(client.map(Beam(1.0).deflection, [3.0, 6.0])))
"""


def test_functions_of_a_script(tmp_path: Path, kernel_environment: dict[str, str]) -> None:
    """Functions, lambdas, partials, bound methods and classes travel from `__main__` and from a
    module beside it, with what they read.
    """
    (tmp_path / "beams.py").write_text(_MODULE)
    (tmp_path / "script.py").write_text(_SCRIPT)
    ran = subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env=kernel_environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert ran.stderr == ""
    assert ran.stdout.splitlines() == ["[6, 5, 32, 12, 8.0, 60, '1-2']", "[6, 12, 18] [1.0, 2.0]"]
