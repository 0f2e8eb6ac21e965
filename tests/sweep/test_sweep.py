"""`sweep` through the whole line: results, failures, what runs again, what outlives a kernel."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mecapy_jupyter import Client, remote, sweep
from mecapy_jupyter.client import gateway_api
from mecapy_jupyter.parameter_sweep import chunk
from mecapy_jupyter.parameter_sweep.stored import Sweeps
from mecapy_jupyter.shared import errors

from ..gate import Gate
from .studies import deadly, drawn, held, held_but_one, marked, trivial

ROOT = Path(__file__).parents[2]


def until(reached: Callable[[], Any], seconds: float = 120.0) -> Any:
    """The first true answer."""
    last = time.monotonic() + seconds
    while not (found := reached()):
        assert time.monotonic() < last, "not reached in time"
        time.sleep(0.05)
    return found


def test_only_what_is_new_or_failed_runs_again(client: Client) -> None:
    """Twelve points, one fails; then one axis grows: finished points are those from before, the
    failed one and the new ones run. Another kernel's `table()` shows the same.
    """
    axes: dict[str, Any] = {"x": [1, 2, 3, 4], "y": [10, 20, 30]}
    first = sweep(marked, name="growing", client=client, **axes)
    assert len(first) == 12 and first["sum"].isna().sum() == 1
    (failed,) = first[first.error.notna()].to_dict("records")
    assert (failed["x"], failed["y"]) == (3, 20)
    assert failed["error"] == "ZeroDivisionError: no such point"
    good = first[first.error.isna()]
    assert (good["sum"] == good.x + good.y).all() and (good.seconds >= 0).all()
    assert good.task.notna().all() and good.worker.notna().all()
    second = sweep(marked, name="growing", client=client, **axes | {"y": [30, 20, 10, 40]})
    runs = {(row.x, row.y): row.run for row in second.itertuples()}
    before = {(row.x, row.y): row.run for row in good.itertuples()}
    assert {point: runs[point] for point in before} == before
    assert len(second) == 16 and second.error.notna().sum() == 1
    stored = Sweeps(Client(client.endpoint.url, client.endpoint.token))["growing"]
    again = stored.table()
    assert again[["x", "y", "sum", "run", "error"]].equals(
        second[["x", "y", "sum", "run", "error"]]
    )
    assert again.attrs["mecapy"]["code"] == second.attrs["mecapy"]["code"]
    assert str(stored.progress) == "16 of 16 points"
    third = sweep(marked, name="growing", client=client, again=True, x=[1], y=[10, 20])
    assert not set(third.run) & set(runs.values())


def test_a_point_that_kills_its_task_costs_only_itself(client: Client) -> None:
    """Its neighbours in the chunk run again without it; `retry` runs it once more."""
    found = sweep(deadly, name="deadly", client=client, x=range(12))
    assert found.error.notna().tolist() == [x == 9 for x in range(12)]
    assert found.error[9].startswith("TaskKilled")
    assert found.result.dropna().tolist() == [x for x in range(12) if x != 9]
    assert Sweeps(client)["deadly"].retry() == 1
    until(lambda: Sweeps(client)["deadly"].progress.left == 0)
    assert Sweeps(client)["deadly"].table().error.notna().sum() == 1


def test_generators_are_of_the_points(client: Client) -> None:
    """The same numbers in another order, under another name, and one by one."""
    first = sweep(drawn, name="drawn", client=client, seed=7, x=[1, 2, 3, 4])
    second = sweep(drawn, name="drawn too", client=client, seed=7, x=[4, 2, 1, 3, 5])
    assert first.result.nunique() == 4
    numbers = dict(zip(second.x, second.result, strict=True))
    assert dict(zip(first.x, first.result, strict=True)).items() <= numbers.items()
    other = sweep(drawn, name="drawn", client=client, seed=8, x=[1, 2, 3, 4])
    assert not set(other.result) & set(first.result)


def test_an_error_can_end_the_sweep(client: Client) -> None:
    """With the point in a note; what was submitted is cancelled."""
    with pytest.raises(ZeroDivisionError, match="no such point") as raised:
        sweep(marked, name="ends", client=client, on_error="raise", x=[3], y=[20, 30])
    assert raised.value.__notes__ == ["at x=3, y=20"]
    assert gateway_api.sweep(client.gateway, "ends").state == "cancelled"


def test_a_killed_kernel_leaves_its_points_to_run(
    client: Client, tmp_path: Path, gate: Gate
) -> None:
    """All were submitted; another kernel reads the table, and its own call runs none again."""
    script = tmp_path / "kernel.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import sys
            sys.path.insert(0, {str(ROOT)!r})
            from mecapy_jupyter import sweep
            from tests.sweep.studies import held
            table = sweep(held, name="outlives", x=range(8), gate={gate.path!r})
            print(*table.task)
            """
        )
    )
    here = {"MECAPY_URL": client.endpoint.url, "MECAPY_TOKEN": str.__str__(client.endpoint.token)}
    environment = os.environ | here | {"PYTHONHASHSEED": "5"}
    environment.pop("PYTEST_CURRENT_TEST", None)
    kernel = subprocess.Popen([sys.executable, str(script)], env=environment)
    try:
        stored = until(lambda: "outlives" in Sweeps(client) and Sweeps(client)["outlives"])
        found = until(lambda: _all_sent(client, "outlives", 8))
        assert any(task.status == "queued" for task in found.tasks)
    finally:
        kernel.kill()
        kernel.wait()
    gate.open()
    until(lambda: stored.progress.left == 0)
    assert stored.table().result.tolist() == list(range(8))
    tasks = {task.task_id for task in gateway_api.sweep(client.gateway, "outlives").tasks}
    again = subprocess.run(
        [sys.executable, str(script)], env=environment, capture_output=True, text=True, check=True
    )
    assert set(again.stdout.split()) == tasks


def _all_sent(client: Client, name: str, points: int) -> Any:
    found = gateway_api.sweep(client.gateway, name)
    return found if sum(len(task.points) for task in found.tasks) == points else None


@pytest.mark.long
def test_a_sweep_pauses_and_resumes_from_elsewhere(client: Client, gate: Gate) -> None:
    """What runs ends, what waits is given up and submitted again; a cancelled sweep returns with
    what there is.
    """
    tables: list[Any] = []
    axes: dict[str, Any] = {"x": range(12), "gate": gate.path}
    runs = threading.Thread(
        target=lambda: tables.append(sweep(held, name="paused", client=client, **axes))
    )
    runs.start()
    other = Client(client.endpoint.url, client.endpoint.token)
    until(lambda: "paused" in Sweeps(other) and _all_sent(other, "paused", 12))
    stored = Sweeps(other)["paused"]
    until(lambda: stored.progress.running)
    stored.pause()
    gate.open()
    until(lambda: not stored.progress.running)
    before = stored.progress
    assert 0 < before.left < 12 and before.state == "paused" and runs.is_alive()
    part = stored.table()
    assert part.result.notna().sum() == before.done
    stored.resume()
    runs.join(120)
    assert tables[0].result.tolist() == list(range(12))


@pytest.mark.long
def test_a_cancelled_sweep_returns_what_there_is(client: Client, gate: Gate) -> None:
    """Rows that have not run say so; a second call runs them."""
    tables: list[Any] = []
    axes: dict[str, Any] = {"x": range(10), "gate": gate.path}
    runs = threading.Thread(
        target=lambda: tables.append(sweep(held_but_one, name="stopped", client=client, **axes))
    )
    runs.start()
    other = Client(client.endpoint.url, client.endpoint.token)
    until(lambda: "stopped" in Sweeps(other) and Sweeps(other)["stopped"].progress.done)
    Sweeps(other)["stopped"].cancel()
    runs.join(120)
    (found,) = tables
    assert 0 < found.result.notna().sum() < 10
    assert found.error.dropna().str.startswith("TaskCancelled").all()
    gate.open()
    assert sweep(held_but_one, name="stopped", client=client, **axes).error.isna().all()


def test_what_is_sent_after_a_cancel_is_cancelled(
    client: Client, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tasks on their way while another kernel cancels the sweep do not run on to their end."""
    submit = chunk.submit

    def late(*about: Any) -> Any:
        gateway_api.change_sweep(client.gateway, "late", "cancel")
        return submit(*about)

    monkeypatch.setattr(chunk, "submit", late)
    limited = remote(held).options(timeout=60.0)
    found = sweep(limited, name="late", client=client, x=range(2), gate=gate.path)
    assert found.error.str.startswith("TaskCancelled").all(), found.error


@pytest.mark.long
def test_ten_thousand_points_are_few_tasks_and_little_memory(client: Client) -> None:
    """Trivial points travel by the thousand; the growth of this process stays below 200 MB."""
    import psutil

    before = psutil.Process().memory_info().rss
    found = sweep(trivial, name="many", client=client, x=range(10_000))
    assert found.result.tolist() == list(range(1, 10_001)) and found.task.nunique() < 100
    assert psutil.Process().memory_info().rss - before < 200e6


def test_what_is_not_there_is_named(client: Client) -> None:
    """The KeyError lists the sweeps that there are."""
    sweep(trivial, name="there", client=client, x=1)
    with pytest.raises(KeyError, match=r"there is no sweep 'nowhere'; yours are: .*there"):
        Sweeps(client)["nowhere"]
    with pytest.raises(ValueError, match="'record' or 'raise'"):
        sweep(trivial, on_error="ignore", client=client, x=1)  # type: ignore[arg-type]
    with pytest.raises(errors.MecapyError):
        sweep(trivial, name="a/b", client=client, x=1)
