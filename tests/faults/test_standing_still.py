"""PostgreSQL or all workers stand still for a while, and nobody hears of it."""

from __future__ import annotations

import time

import psutil
import pytest

from ..gate import Gate
from .stack import LEASE_S, Stack
from .test_postgres import once, running


@pytest.mark.parametrize("what", ["PostgreSQL", "workers"])
def test_stands_still_for_longer_than_a_lease(stack: Stack, gate: Gate, what: str) -> None:
    """And for less time than a statement may take, so that nobody hears of it; or a laptop sleeps,
    and its workers with it. Their leases have run out, and nothing is taken from them.
    """
    tasks = running(stack, gate)
    if what == "PostgreSQL":
        server = psutil.Process(stack.services.postgres.pid)
        processes = [server, *server.children(recursive=True)]
    else:
        processes = [psutil.Process(worker.pid) for worker in stack.of("worker")]
    for process in processes:
        process.suspend()
    time.sleep(1.75 * LEASE_S)
    for process in processes:
        process.resume()
    time.sleep(LEASE_S)
    gate.open()
    once(stack, *tasks)
