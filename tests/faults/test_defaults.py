"""A lost worker where nothing is set: a lease of 10 s, a heartbeat of 3 s."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .asking import UP
from .promises import check
from .stack import Stack


@pytest.fixture
def plain_stack(cluster: Path) -> Iterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="mecapy-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        with Stack(Path(folder), cluster, LEASE_S="10", HEARTBEAT_S="3") as stack:
            stack.gateway()
            stack.worker()
            stack.worker()
            yield stack
            check(stack)


@pytest.mark.long
def test_the_tasks_of_a_lost_worker_run_again_in_time(
    plain_stack: Stack, record_property: Callable[[str, object], None]
) -> None:
    """kill -9 of a worker just after it renewed its lease, of a task with a timeout of hours: it
    runs again within 12 seconds (60 are allowed, for a busy machine).
    """
    stack = plain_stack
    task = stack.submit(UP.format(6, "again"), "again", timeout=7200.0)
    victim = stack.until_running(task)
    renewed = stack.row(task)["lease_until"]
    stack.until(
        lambda: stack.row(task)["lease_until"] != renewed or stack.row(task)["attempt"] > 1,
        "its lease is renewed",
    )
    victim.kill()
    since = time.monotonic()
    stack.until(lambda: stack.row(task)["attempt"] == 2, "it runs again")
    took_s = time.monotonic() - since
    record_property("recovered_s", round(took_s, 1))
    print(f"run again {took_s:.1f} s after kill -9")
    assert took_s < 60
    stack.final(task)
