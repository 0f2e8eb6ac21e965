"""What a task is expected to take, by earlier runs of its code."""

from __future__ import annotations

import httpx
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from mecapy_backend.fleet.estimate import estimate
from mecapy_backend.fleet.router import NOTHING_KNOWN
from mecapy_backend.store.tasks.history import PastRun
from mecapy_jupyter.shared.units import price, raised, spelled

from .test_resources import TOKEN, RunningGateway, fleet_gateway  # noqa: F401  (a fixture)

MB = 10**6


def test_without_a_history() -> None:
    """Nothing is said of code that has not run."""
    assert estimate([], 10 * MB) == NOTHING_KNOWN


def test_the_last_two_runs() -> None:
    """With few runs, or inputs of one size, the mean of the last two; memory is the highest of the
    last five peaks and a fifth.
    """
    runs = [PastRun(10.0, 100), PastRun(20.0, 500), PastRun(1000.0, 200)]
    assert estimate(runs, 5 * MB).runs_s == 15.0
    assert estimate(runs, 5 * MB).memory_bytes == 600
    alike = [PastRun(seconds, 100, 5 * MB) for seconds in (10, 20, 30, 40, 50, 60)]
    assert estimate([*alike, PastRun(1.0, 10**9)], 5 * MB).runs_s == 15.0
    assert estimate([*alike, PastRun(1.0, 10**9)], 5 * MB).memory_bytes == 120
    assert estimate([PastRun(10.0)], None).memory_bytes is None


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
def test_a_regression_on_the_size_of_the_inputs(power: float) -> None:
    """From five runs on inputs of different sizes, seconds follow a power of the size, also beyond
    what was seen, up to ten times as long.
    """
    runs = [PastRun(3.0 * size**power, None, size * MB) for size in (1, 2, 3, 5, 8)]
    for size in (2, 4, 10):
        expected = estimate(runs, size * MB).runs_s
        assert expected == pytest.approx(3.0 * size**power, rel=1e-6)
    assert estimate(runs, 10**6 * MB).runs_s == pytest.approx(30.0 * 8**power)
    assert estimate(runs[:4], 10 * MB).runs_s == pytest.approx(1.5 * (1 + 2**power))
    falling = [PastRun(10.0 / size, None, size * MB) for size in (1, 2, 3, 5, 8)]
    assert estimate(falling, 10 * MB).runs_s == 7.5  # the last two: something else decides


@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.integers(0, 10**12)), min_size=1, max_size=20),
    st.integers(0, 10**12),
)
def test_never_far_from_what_was_seen(found: list[tuple[float, int]], size: int) -> None:
    """Whatever the history, an estimate is within ten times of its runs."""
    runs_s = estimate([PastRun(*run[:1], None, run[1]) for run in found], size).runs_s
    assert runs_s is not None
    times = [seconds for seconds, _ in found]
    assert min(times) / 10.01 <= runs_s <= max(times) * 10.01


def test_words() -> None:
    """Two units of time; small amounts of money without an exponent."""
    assert [spelled(s) for s in (0.2, 25, 220, 240, 7800)] == [
        "1 s", "25 s", "3 min 40 s", "4 min", "2 h 10 min",
    ]  # fmt: skip
    assert [price(e) for e in (0.00001, 0.002, 0.354, 120)] == [
        "less than €0.001", "€0.002", "€0.35", "€120.00",
    ]  # fmt: skip
    assert [raised(100, passed) for passed in (50, 100, 101, 200)] == [100, 100, 150, 225]


async def test_said_before_it_runs_and_raised_when_outlived(
    fleet_gateway: RunningGateway,  # noqa: F811
    db: sa.ext.asyncio.AsyncEngine,
) -> None:
    """The answer to a submission has time, memory, cost and place; `GET /tasks/{id}` a longer time
    once the task has run longer. Calls of another function have a history of their own.
    """
    headers = {"Authorization": f"Bearer {TOKEN}"}
    body = {"code": "call()", "name": "solve", "payload": {"pickle": ""}}
    async with httpx.AsyncClient(
        base_url=fleet_gateway.url, headers=headers, timeout=120
    ) as client:

        async def submitted(**more: object) -> dict[str, str]:
            return (await client.post("/tasks", json=body | more)).json()

        async def ran(state: str, task_id: str) -> None:
            change = "completed_at = now(), outcome = '{}'" if state == "completed" else "attempt=1"
            async with db.connect() as connection:
                await connection.execute(
                    sa.text(
                        f"UPDATE tasks SET state = '{state}', peak_bytes = 500000000, {change}, "
                        "started_at = now() - interval '220 s' WHERE id = :id"
                    ),
                    {"id": task_id},
                )

        await ran("completed", (await submitted())["task_id"])
        second = await submitted()
        assert second["estimate"] == "~3 min 40 s · 600 MB · pool"
        assert (await submitted(name="other")).keys().isdisjoint({"estimate"})
        on_large = await submitted(resources={"machine": "large"})
        assert on_large["estimate"] == "~3 min 40 s · 600 MB · about €0.022 · large"
        async with db.connect() as connection:
            await connection.execute(
                sa.text("UPDATE tasks SET estimate_s = 100 WHERE id = :id"),
                {"id": second["task_id"]},
            )
        await ran("running", second["task_id"])
        seen = (await client.get(f"/tasks/{second['task_id']}")).json()
        assert seen["estimate_s"] == 225
