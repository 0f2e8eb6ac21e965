"""The object store (a real S3 server) away, back, or away for too long; and the moments around a
result's upload.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from mecapy_jupyter import wire
from mecapy_jupyter.client.client import Client
from mecapy_jupyter.shared import errors

from .. import weed
from ..gate import Gate
from .asking import UP
from .promises import settle
from .proxy import Proxy
from .row_locks import forget_waiting, locked, waiting_for_rows
from .stack import Stack
from .task import Task

BIG = "print('up', flush=True)\n{}data = bytes(range(256)) * 2000"
WHAT = bytes(range(256)) * 2000


@pytest.fixture(scope="module")
def s3_stack(s3_server: str, cluster: Path) -> Iterator[tuple[Stack, Proxy]]:
    """A stack whose blobs are in S3, and the way there. Gateway and workers go through it; so do
    clients, by signed URLs.
    """
    with tempfile.TemporaryDirectory(prefix="mecapy-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        host, _, port = s3_server.removeprefix("http://").partition(":")
        with Stack(Path(folder), cluster, BLOB_URL="s3://blobs/faults") as stack:
            way = Proxy(stack.loop, (host, int(port)))
            stack.settings |= {"S3_ENDPOINT_URL": way.url, "CACHE_DIR": f"{folder}/cache"}
            stack.environment |= weed.KEYS
            stack.gateway()
            yield stack, way
            way.close()


@pytest.fixture
def stack(s3_stack: tuple[Stack, Proxy]) -> Iterator[Stack]:
    stack, way = s3_stack
    while len(stack.of("worker")) < 2:
        stack.worker()
    yield stack
    way.mode("pass")
    settle(stack)


@pytest.fixture
def way(s3_stack: tuple[Stack, Proxy]) -> Proxy:
    return s3_stack[1]


@pytest.fixture
def client(stack: Stack) -> Iterator[Client]:
    client = stack.client()
    yield client
    client.shutdown(wait=False)


def owed(stack: Stack, task: Any, state: str = "completed") -> Task:
    return stack.owed(Task(task.id, ANY, state))


class Waiting:
    """Whether a worker waits for the store, and has said so since this was made."""

    def __init__(self, stack: Stack) -> None:
        self._stack, self._before = stack, self._said(stack)

    def __call__(self) -> bool:
        return self._said(self._stack) > self._before

    @staticmethod
    def _said(stack: Stack) -> int:
        said = "".join(worker.said() for worker in stack.of("worker")).replace(" ", "")
        return said.count("what=store") + said.count('"what":"store"')


def test_store_away_and_back(stack: Stack, client: Client, way: Proxy, gate: Gate) -> None:
    """Away when a result is to be stored: the result waits, small ones are unaffected, and it comes
    home whole when S3 is back.
    """
    task = client.run(BIG.format(gate.wait), outputs=["data"])
    big = owed(stack, task)
    stack.until_running(big)
    way.mode("cut")
    waits = Waiting(stack)
    gate.open()
    stack.until(waits, "a worker waits for the store")
    small = stack.submit("'small'", "small")
    assert stack.final(small)["attempt"] == 1 and stack.row(big)["state"] == "running"
    assert way.hit
    way.mode("pass")
    assert stack.final(big)["attempt"] == 1 and task.vars["data"] == WHAT


@pytest.mark.long
def test_store_away_for_too_long(stack: Stack, client: Client, way: Proxy, gate: Gate) -> None:
    """Away for longer than a result may wait: the task fails as `storage` and says so; the worker
    serves on.
    """
    while stack.of("worker"):
        stack.end(stack.of("worker")[0])
    impatient = stack.worker(STORE_PATIENCE_S="1")
    task = client.run(BIG.format(gate.wait), outputs=["data"])
    big = owed(stack, task, "failed")
    stack.until_running(big)
    way.mode("cut")
    gate.open()
    row = stack.final(big)
    assert '"storage"' in row["outcome"] and row["attempt"] == 1 and way.hit
    with pytest.raises(errors.StorageFailed):
        task.result(120)
    assert stack.final(stack.submit("'serves'", "serves"))["attempt"] == 1
    way.mode("pass")
    stack.end(impatient)


@pytest.mark.long
def test_cancelled_while_it_waits_for_the_store(
    stack: Stack, client: Client, way: Proxy, gate: Gate
) -> None:
    """A task whose result waits for the store can be cancelled, and its slot is free again."""
    task = client.run(BIG.format(gate.wait), outputs=["data"])
    big = owed(stack, task, "cancelled")
    stack.until_running(big)
    way.mode("cut")
    waits = Waiting(stack)
    gate.open()
    stack.until(waits, "a worker waits for the store")
    assert task.cancel()
    stack.final(big)


def test_input_that_cannot_be_read_yet(stack: Stack, client: Client, way: Proxy) -> None:
    """Away when a worker fetches an input it has not cached: the task waits for it and then runs,
    once.
    """
    first = client.run("len(data)", {"data": WHAT})
    owed(stack, first)
    assert first.result(120) == len(WHAT)
    while stack.of("worker"):
        stack.end(stack.of("worker")[0])
    stack.worker(CACHE_DIR=str(stack.folder / "another"))
    way.mode("cut")
    waits = Waiting(stack)
    second = stack.submit_again(first.id)
    stack.until(waits, "the worker waits for the input")
    way.mode("pass")
    assert stack.final(second)["attempt"] == 1


def test_killed_between_upload_and_row(stack: Stack, client: Client, gate: Gate) -> None:
    """kill -9 when the result is in S3 and not in the row: it runs again, the same bytes are the
    same blob, nothing is doubled.
    """
    task = client.run(BIG.format(gate.wait), outputs=["data"])
    big = owed(stack, task)
    worker = stack.until_running(big)
    with locked(stack, big):
        gate.open()
        stack.until(
            lambda: waiting_for_rows(stack, "outcome="), "the result is stored, the row is not"
        )
        worker.kill()
        forget_waiting(stack)
    assert stack.final(big)["attempt"] == 2
    assert task.vars["data"] == WHAT
    named = stack.sql("SELECT unnest(digests) AS digest FROM tasks WHERE id = $1", big.id)
    assert len({row["digest"] for row in named}) == 1


def test_results_without_their_cache(stack: Stack, client: Client) -> None:
    """Redis and the workers' caches are emptied after the end: result and log come from PostgreSQL
    and the object store.
    """
    task = client.run(BIG.format(""), outputs=["data"])
    big = owed(stack, task)
    stack.final(big)
    with stack.redis() as redis:
        stream: Any = f"mecapy:events:{big.id}"
        stack.until(
            lambda: redis.xrevrange(stream, count=1)[0][1][b"type"] == b"completed",
            "its end is told",
        )
        redis.flushall()
    again = client.attach(big.id, "again", {}).follow()
    assert again.vars["data"] == WHAT and again.logs() == "up\n"
    told = [event.type for event in stack.events(big) if event.type != wire.USAGE]
    assert told == ["started", "stdout", "completed"]


def test_a_worker_killed_while_it_waits_for_the_store(
    stack: Stack, client: Client, way: Proxy, gate: Gate
) -> None:
    """kill -9 of a worker whose result waits for S3: another runs the task again, and its result
    comes home.
    """
    task = client.run(BIG.format(gate.wait), outputs=["data"])
    big = owed(stack, task)
    worker = stack.until_running(big)
    way.mode("cut")
    waits = Waiting(stack)
    gate.open()
    stack.until(waits, "a worker waits for the store")
    worker.kill()
    way.mode("pass")
    assert stack.final(big)["attempt"] == 2 and task.vars["data"] == WHAT


def test_submitting_while_the_store_is_away(stack: Stack, way: Proxy) -> None:
    """Tasks with small inputs are taken and run while S3 is away; the gateway stays
    ready and names it.
    """
    way.mode("cut")
    task = stack.submit(UP.format(0, "small"), "small")
    assert stack.final(task)["attempt"] == 1
    with stack.http() as http:
        stack.until(
            lambda: (
                (said := http.get("/readyz?verbose")).json()["parts"]["store"] == "away"
                and said.status_code == 200
            ),
            "it is ready and names the store",
        )
    assert way.hit
