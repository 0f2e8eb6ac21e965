"""`Client.map`: chunks, order, failures, and who uses it."""

from __future__ import annotations

import itertools
import threading
import time
import traceback
from concurrent.futures import CancelledError, wait
from typing import Any

import numpy as np
import pytest

from mecapy_jupyter import Client
from mecapy_jupyter.client.chunk_size import AHEAD, CallTime
from mecapy_jupyter.shared import errors
from mecapy_jupyter.travel import checkpoints
from mecapy_jupyter.travel.environment import user_modules

from ..gate import Gate
from .calls import checked, double, held, rosenbrock, scale, unpicklable


def in_flight(client: Client) -> list[Any]:
    return [task for task in client._open if not task.done()]


@pytest.mark.parametrize("chunksize", [None, 1, 7])
def test_results_are_those_of_the_built_in_map(client: Client, chunksize: int | None) -> None:
    """In order, several iterables cut to the shortest, whatever the size of the chunks."""
    assert list(client.map(pow, range(20), itertools.count(1), chunksize=chunksize)) == list(
        map(pow, range(20), itertools.count(1))
    )


def test_no_arguments_no_results(client: Client) -> None:
    """A map over nothing ends at once and sends nothing."""
    assert list(client.map(double, [])) == []
    assert not client._open


def test_calls_travel_together(client: Client) -> None:
    """2,000 trivial calls are few tasks, and the last results are as right as the first. (On a busy
    machine a call takes longer, so that fewer go together.)
    """
    names = set[str]()
    seen = client.enter

    def noting(request: Any, values: Any) -> Any:
        names.add(f"{request.name} {len(names)}")
        return seen(request, values)

    client.enter = noting  # type: ignore[method-assign]
    assert list(client.map(double, range(2000))) == list(range(0, 4000, 2))
    assert len(names) < 500


def test_an_endless_iterable_is_read_as_far_as_needed(client: Client) -> None:
    """Arguments are taken a few chunks ahead of the reader; closing the iterator cancels what is in
    flight.
    """
    taken = itertools.count()
    results = client.map(double, taken, chunksize=5)
    assert list(itertools.islice(results, 12)) == list(range(0, 24, 2))
    assert next(taken) < 5 * 100
    results.close()  # type: ignore[attr-defined]
    wait(list(client._open), timeout=240)
    assert not in_flight(client)


def test_closing_ends_a_call_that_would_go_on(client: Client) -> None:
    """What runs when the iterator is closed is cancelled, on the worker too."""
    results = client.map(time.sleep, [0, 1000], chunksize=1)
    assert next(results) is None
    (running,) = in_flight(client)
    results.close()  # type: ignore[attr-defined]
    with pytest.raises(CancelledError):
        running.result(timeout=240)


def test_a_failing_call_is_named_with_its_argument(client: Client) -> None:
    """The results before it come, then its own exception, with the number of the argument and its
    value in a note.
    """
    results = client.map(checked, itertools.count(0.5), "abcdefgh", chunksize=2)
    assert list(itertools.islice(results, 3)) == [0.5 / -3, 1.5 / -2, 2.5 / -1]
    with pytest.raises(ZeroDivisionError) as failed:
        next(results)
    assert failed.value.__notes__ == ["argument 3: (3.5, 'd')"]
    assert "checked" in "".join(traceback.format_exception(failed.value))
    assert list(results) == []


def resumed(number: int, until: float) -> str:
    """What it finds of a checkpoint; the last call fails until a moment."""
    found: str = checkpoints.restored("nothing")
    checkpoints.checkpoint(f"of {number}")
    if number == 1 and time.time() < until:
        raise RuntimeError("too early")
    return found


def test_calls_that_share_a_task_have_no_checkpoints(client: Client) -> None:
    """One would be taken for another call's by the next attempt."""
    tried = client.options(retries=6).map(resumed, [0, 1], [time.time() + 1] * 2, chunksize=2)
    assert list(tried) == ["nothing", "nothing"]


def test_a_result_that_cannot_travel_is_an_error(client: Client) -> None:
    """Neither a map nor a submitted function returns None in the place of what
    cannot be pickled.
    """
    with pytest.raises(errors.CannotReceive, match="cannot travel") as failed:
        list(client.map(unpicklable, [1, 2], chunksize=2))
    assert failed.value.__notes__ == ["one of the arguments 0 to 1"]
    with pytest.raises(errors.CannotReceive, match="cannot travel"):
        client.submit(unpicklable, 1).result(240)


def test_the_timeout_ends_the_map(client: Client) -> None:
    """TimeoutError where the result is not there in time, and the call that runs is cancelled."""
    results = client.map(time.sleep, [1000], timeout=0.3)
    (running,) = in_flight(client)
    with pytest.raises(TimeoutError):
        next(results)
    with pytest.raises(CancelledError):
        running.result(timeout=240)


def test_as_they_come(client: Client, gate: Gate) -> None:
    """`map_unordered` gives all results; one that takes long does not hold up those after it."""
    slots = sum(worker["info"]["slots"] for worker in client.gateway.get("/workers"))
    results = client.map_unordered(held, range(3), [gate.path] * 3, chunksize=1)
    came = [next(results)] if slots > 1 else []
    assert 0 not in came
    gate.open()
    assert sorted([*came, *results]) == [0, 1, 2]


def test_a_changed_argument_comes_back_as_a_copy(client: Client) -> None:
    """Chunks that share an argument each give their own result, and leave the argument alone."""
    array = np.ones(20_000)
    results = list(client.map(scale, [array, array, array], (2, 3, 4), chunksize=1))
    assert [float(result[7]) for result in results] == [2.0, 3.0, 4.0] and float(array[7]) == 1.0


def test_what_calls_print_appears(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    """Prints of calls are prints of the map."""
    assert list(client.map(print, ["one", "two"], chunksize=1)) == [None, None]
    assert sorted(capsys.readouterr().out.split()) == ["one", "two"]


def test_arguments_that_cannot_travel_are_refused_at_once(client: Client) -> None:
    """`map` itself raises, with the reason."""
    with pytest.raises(errors.CannotSend):
        client.map(double, [threading.Lock()])


def test_workers_of_an_optimizer(client: Client) -> None:
    """`workers=client.map` gives scipy's differential evolution the very
    result it has by itself.
    """
    from scipy.optimize import differential_evolution

    options: dict[str, Any] = {
        "bounds": [(-2, 2), (-2, 2)],
        "maxiter": 5,
        "popsize": 8,
        "updating": "deferred",
        "polish": False,
    }
    here = differential_evolution(rosenbrock, rng=1, **options)
    there = differential_evolution(rosenbrock, rng=1, workers=client.map, **options)
    assert (here.x == there.x).all()
    assert here.nfev == there.nfev


def test_under_tqdm(client: Client) -> None:
    """tqdm counts every result."""
    import io

    from tqdm import tqdm

    bar = tqdm(client.map(double, range(50)), total=50, file=io.StringIO())
    assert list(bar) == list(range(0, 100, 2))
    assert bar.n == 50


def test_chunks_follow_the_time_of_a_call() -> None:
    """The first chunk is one call; then as many as fill the time; and the last calls are shared
    among the slots.
    """
    pace = CallTime()
    assert pace.size(1000, 2) == 1
    pace.learn(0.004, 1)
    assert pace.size(None, 2) == 75
    for _ in range(20):
        pace.learn(0.2, 2)
    assert 2 <= pace.size(None, 2) <= 4
    assert pace.size(AHEAD * 2, 2) == 1
    for _ in range(20):
        pace.learn(0.001, 1000)
    assert pace.size(10**9, 2) == 10_000


def test_a_module_whose_loader_hides_its_source() -> None:
    """A module that pytest has rewritten, and so one that another hook has, travels as the file it
    came from.
    """
    (mine,) = [source for source in user_modules.collect([__name__]) if source.name == __name__]
    assert "test_a_module_whose_loader_hides_its_source" in repr(mine)


def test_results_are_read_after_the_with_block(running_stack: Any) -> None:
    """A map that began before the shutdown goes on to its end, as with any executor; a new one is
    refused.
    """
    with Client(running_stack.url, running_stack.token) as client:
        results = client.map(double, range(100), chunksize=1)
    assert list(results) == list(range(0, 200, 2))
    with pytest.raises(RuntimeError, match="after shutdown"):
        client.map(double, [1])
    with pytest.raises(RuntimeError, match="after shutdown"):
        client.submit(double, 1)


def test_a_shutdown_that_cancels_ends_a_map(running_stack: Any) -> None:
    """What was not sent by then never is."""
    client = Client(running_stack.url, running_stack.token)
    results = client.map(double, range(100), chunksize=1)
    client.shutdown(cancel_futures=True)
    with pytest.raises(CancelledError):
        list(results)
