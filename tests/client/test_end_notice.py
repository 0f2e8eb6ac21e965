"""Who is told of the end of a call, a map and a sweep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from mecapy_jupyter import Client, remote, sweep
from mecapy_jupyter.client import gateway_api
from mecapy_jupyter.shared import errors

from .calls import double

Told = list[tuple[str, tuple[str, ...]]]


def inverse(x: float) -> float:
    return 1 / x


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """What the gateway is asked to tell: the task's state at that time, and whom."""
    asked: Told = []

    def notify(gateway: Any, task_id: str, targets: Sequence[str], *, check: bool = False) -> None:
        if not check:
            asked.append((gateway_api.task(gateway, task_id).status, tuple(targets)))

    monkeypatch.setattr(gateway_api, "notify", notify)
    return asked


@pytest.mark.parametrize("start", [lambda c: c.submit(double, 1), lambda c: c.map(double, [1])])
def test_what_cannot_be_told_is_refused_at_once(
    client: Client, start: Callable[[Client], object]
) -> None:
    """A stack that sends no mail refuses a call and a map that want one."""
    with pytest.raises(errors.MecapyError, match="MECAPY_SMTP_URL"):
        start(client.options(notify="mail"))


def test_a_map_is_told_once(client: Client, told: Told) -> None:
    """Many chunks, one note: of a task that has ended; of one that failed, where a call did."""
    asking = client.options(notify=["mail", "webhook"])
    assert list(asking.map(double, range(6), chunksize=2)) == [0, 2, 4, 6, 8, 10]
    assert told == [("completed", ("mail", "webhook"))]
    told.clear()
    with pytest.raises(ZeroDivisionError):
        list(asking.map(inverse, [1, 0, 2], chunksize=1))
    assert told == [("failed", ("mail", "webhook"))]


def test_a_map_that_is_closed_tells_nobody(client: Client, told: Told) -> None:
    """Whoever stops reading knows it."""
    results = client.options(notify="mail").map(double, range(100), chunksize=1)
    assert next(results) == 0
    results.close()  # type: ignore[attr-defined]
    assert told == []


def test_a_sweep_is_told_once(client: Client, told: Told) -> None:
    """Its tasks carry no note; nor is there one where every point was there already."""
    asking = remote(notify="mail")(double)
    for _ in range(2):
        table = sweep(asking, number=[1, 2, 3], name="told", client=client)
        assert list(table["result"]) == [2, 4, 6]
        assert told == [("completed", ("mail",))]
