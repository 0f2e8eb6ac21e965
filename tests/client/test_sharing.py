"""Short calls that share a child: each is as if it had one to itself."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import CancelledError
from typing import Any

import pytest

from mecapy_jupyter import Client
from mecapy_jupyter.client import sharing
from mecapy_jupyter.shared import errors

from . import calls

TOGETHER = 4


@pytest.fixture
def known(client: Client, monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], Any]:
    """Makes a function known as short; four of its calls then travel together."""
    monkeypatch.setattr(sharing, "AHEAD", 0)
    monkeypatch.setattr(sharing, "_MOST_CALLS", TOGETHER)
    monkeypatch.setattr(sharing, "_GATHERS_S", 60.0)

    def as_short(fn: Any) -> Any:
        client._maps.call_times.of(fn).learn(1.0, 1000)
        return fn

    return as_short


def test_calls_share_a_task(client: Client, known: Callable[[Any], Any]) -> None:
    """Each has its result; with `share=False`, or before the function is known, each has a task."""
    fn = known(calls.double)
    together = [client.submit(fn, number) for number in range(TOGETHER)]
    assert [task.result(240) for task in together] == [0, 2, 4, 6]
    assert len({task.id for task in together}) == 1
    alone = [client.options(share=False).submit(fn, number) for number in range(2)]
    alone += [client.submit(calls.same, number) for number in range(2)]
    assert [task.result(240) for task in alone] == [0, 2, 0, 1]
    assert len({task.id for task in alone}) == 4


def test_exceptions_and_prints_are_each_ones_own(
    client: Client, known: Callable[[Any], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """A failing call does not touch the others; what a call printed is shown, and is its log."""
    fn = known(calls.noisy)
    tasks = [client.submit(fn, number) for number in range(TOGETHER)]
    assert [repr(task.exception(240)) for task in tasks] == [
        "None",
        "ValueError(1)",
        "None",
        "ValueError(3)",
    ]
    assert [task.logs() for task in tasks] == [f"call {number}\n" for number in range(TOGETHER)]
    assert capsys.readouterr().out == "".join(f"call {number}\n" for number in range(TOGETHER))


def test_a_call_finds_nothing_of_the_others(client: Client, known: Callable[[Any], Any]) -> None:
    """Neither global names, nor drawn random numbers, nor the folder that another changed to."""
    fn = known(calls.counted)
    tasks = [client.submit(fn) for _ in range(TOGETHER)]
    first, *others = [task.result(240) for task in tasks]
    assert first[0] == 1
    assert others == [first] * (TOGETHER - 1)


def test_arguments_are_as_they_were_at_submission(
    client: Client, known: Callable[[Any], Any]
) -> None:
    """Each call has its own copy of an argument, taken when it was submitted."""
    fn, model = known(calls.train), calls.Model()
    model.parts = []
    tasks = list[Any]()
    for rate in range(TOGETHER):
        tasks.append(client.submit(fn, model, rate))
        model.parts.append("here")
    assert [task.result(240).parts for task in tasks] == [
        [*["here"] * rate, rate] for rate in range(TOGETHER)
    ]


def test_where_one_ends_the_process_the_others_start_again(
    client: Client, known: Callable[[Any], Any]
) -> None:
    """A call that kills its process fails alone."""
    fn = known(calls.ends)
    tasks = [client.submit(fn, number) for number in range(TOGETHER)]
    assert [task.result(240) for task in tasks if task is not tasks[2]] == [0, 1, 3]
    assert isinstance(tasks[2].exception(240), errors.TaskFailed)


def test_cancel(
    client: Client, known: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that waits does not run; one that hangs is stopped, and the others end."""
    monkeypatch.setattr(sharing, "_LONG_S", 0.0)
    fn = known(calls.sleepy)
    waits = client.submit(fn, 1000)
    assert waits.cancel()
    assert waits.cancelled()
    tasks = [client.submit(fn, seconds) for seconds in (0.0, 1000, 0.01)]
    while not tasks[1].running():
        time.sleep(0.05)
    assert tasks[1].cancel()
    with pytest.raises(CancelledError):
        tasks[1].result(240)
    assert [tasks[0].result(240), tasks[2].result(240)] == [0.0, 0.01]


def test_a_result_is_an_input(client: Client, known: Callable[[Any], Any]) -> None:
    """The result of another call is one; a failed call is reported with its exception."""
    tasks = [client.submit(known(calls.noisy), number) for number in range(TOGETHER)]
    assert client.submit(calls.same, [tasks[0], tasks[2]]).result(240) == [0, 2]
    with pytest.raises(errors.ParentFailed) as failed:
        client.submit(calls.same, tasks[1])
    assert repr(failed.value.__cause__) == "ValueError(1)"


def test_large_results(client: Client, known: Callable[[Any], Any]) -> None:
    """They arrive whole; the function's next calls go alone, for they would fill one process."""
    fn = known(calls.ramp)
    tasks = [client.submit(fn, number) for number in range(TOGETHER)]
    assert [int(task.result(240)[-1]) for task in tasks] == [99_999 + n for n in range(TOGETHER)]
    tasks = [client.submit(fn, number) for number in range(2)]
    assert [int(task.result(240)[0]) for task in tasks] == [0, 1]
    assert tasks[0].id != tasks[1].id


def test_shutdown_cancels_what_waits(client: Client, known: Callable[[Any], Any]) -> None:
    """With `cancel_futures`, calls that were not sent end as cancelled."""
    tasks = [client.submit(known(calls.double), number) for number in range(TOGETHER - 1)]
    client.shutdown(cancel_futures=True)
    assert all(task.cancelled() for task in tasks)
