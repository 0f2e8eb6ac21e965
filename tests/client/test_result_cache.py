"""`cache=True` on functions: one run for equal calls, also for those that are made at once."""

from __future__ import annotations

from typing import Any

import pytest

from mecapy_jupyter import Client, remote
from mecapy_jupyter.client.caching_task import CachingTask

from ..gate import Gate

SLOW = """
import os


def solve(x, held_back_by=""):
    while held_back_by and os.path.exists(held_back_by):
        pass
    total = 0
    for step in range(4_000_000):
        total += step
    print("solved", x)
    return total + x
"""


SCALED = "def scaled(number): return number * 3"


def _of_a_notebook(source: str, name: str) -> Any:
    """Not of this module, whose other functions name the clock: none of its own is cached."""
    made: dict[str, Any] = {"__name__": "__main__"}
    exec(source, made)
    return made[name]


def _solve() -> Any:
    return _of_a_notebook(SLOW, "solve")


def test_equal_calls_at_once_run_once(client: Client, capfd: pytest.CaptureFixture[str]):
    """The second waits for the first, and has its result, its prints and its task's id."""
    cached = client.options(cache=True)
    tasks = [cached.submit(_solve(), 5) for _ in range(3)]
    assert [task.result() for task in tasks] == [7999998000005] * 3
    assert len({task.id for task in tasks}) == 1
    runs = [task.cached for task in tasks if isinstance(task, CachingTask)]
    assert runs[0] is None and all(run is not None and run.seconds > 0 for run in runs[1:])
    shown = capfd.readouterr()
    assert shown.out.count("solved 5") == 3 and shown.err.count("from the cache") == 2
    client.gateway.delete("/cache")


def test_what_is_not_kept_runs_for_each(client: Client):
    """Two at once that draw by chance: the second waits for the first, and then runs itself."""
    cached = client.options(cache=True)
    drawn = _of_a_notebook("import uuid\ndef drawn(): return uuid.uuid4().hex", "drawn")
    first, second = (cached.submit(drawn) for _ in range(2))
    assert isinstance(first, CachingTask) and isinstance(second, CachingTask)
    assert first.result() != second.result()
    ran = [client.gateway.get(f"/tasks/{task.id}") for task in (first, second)]
    assert ran[0]["completed_at"] < ran[1]["started_at"]


def test_a_waiting_call_is_cancelled_alone(client: Client, gate: Gate):
    """What the other has begun goes on."""
    cached = client.options(cache=True)
    first, second = (cached.submit(_solve(), 7, gate.path) for _ in range(2))
    assert second.cancel() and second.cancelled()
    gate.open()
    assert first.result() == 7999998000007


def test_a_map_finds_each_of_its_calls(client: Client):
    """A second map runs only what is new."""
    scaled = _of_a_notebook(SCALED, "scaled")
    fast = remote(cache=True)(scaled)
    mine = client.options(cache=True)
    assert list(mine.map(scaled, [1, 2])) == [3, 6] and fast(2) == 6
    before = len(client.gateway.get("/cache")["entries"])
    assert list(mine.map(scaled, [1, 2, 3])) == [3, 6, 9]
    assert len(client.gateway.get("/cache")["entries"]) == before + 1
