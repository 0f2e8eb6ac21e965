"""The standard library's tests of executors, run against `Client`; skipped where Python is
installed without its tests.
"""

from __future__ import annotations

import unittest
from typing import Any

import pytest

from mecapy_jupyter import Client

_executor = pytest.importorskip(
    "test.test_concurrent_futures.executor", reason="needs the tests of Python 3.12 or newer"
)
_as_completed = pytest.importorskip("test.test_concurrent_futures.test_as_completed")
_wait = pytest.importorskip("test.test_concurrent_futures.test_wait")
_shutdown = pytest.importorskip("test.test_concurrent_futures.test_shutdown")


class _OnThePool(unittest.TestCase):
    executor: Client
    worker_count = 2
    address: tuple[str, str]

    @pytest.fixture(autouse=True)
    def on_the_stack(self, running_stack: Any) -> None:
        self.address = (running_stack.url, running_stack.token)
        self.executor = Client(*self.address)

    def tearDown(self) -> None:
        self.executor.shutdown()

    def executor_type(self, max_workers: int) -> Client:
        return Client(*self.address)


class TestExecutor(_OnThePool, _executor.ExecutorTest):
    """What any executor does."""

    test_max_workers_negative = None  # the pool has its workers


class TestWait(_OnThePool, _wait.WaitTests):
    """`concurrent.futures.wait` knows our futures."""


class TestAsCompleted(_OnThePool, _as_completed.AsCompletedTests):
    """`concurrent.futures.as_completed` knows our futures."""


class TestShutdown(_OnThePool):
    """What `ExecutorShutdownTest` asks, without what it asks of its own threads and processes."""

    def test_submitting_after_shutdown(self) -> None:
        _shutdown.ExecutorShutdownTest.test_run_after_shutdown(self)

    def test_hanging_futures(self) -> None:
        _shutdown.ExecutorShutdownTest.test_hang_issue12364(self)

    def test_cancelling_futures(self) -> None:
        """Of calls that wait, cancelled ones are cancelled, and the others end."""
        client = Client(*self.address)
        futures = [client.submit(pow, 2, number) for number in range(20)]
        client.shutdown(cancel_futures=True)
        assert all(future.done() for future in futures)
        assert all(
            future.cancelled() or future.result() == 2**number
            for number, future in enumerate(futures)
        )
