"""An embedded stack begins with one worker; more come while tasks wait, and go again."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest

from mecapy_backend.stack.growth import most_workers
from mecapy_jupyter.client import gateway_api

from ..stack.running import Stack, until

PATIENCE_S = 240.0


def workers(stack: Stack) -> list[int]:
    return [part.process.pid for part in stack.status().components if part.name == "worker"]


@pytest.mark.skipif(most_workers(1) < 2, reason="one core: there is never a second worker")
def test_one_to_two_to_one(tmp_path: Path) -> None:
    """A second task that waits gets a second worker, which `mecapy status` names; it goes once it
    has been idle, and the first one stays. Nothing is left when the stack ends.
    """
    stack = Stack.up(tmp_path / "data", MECAPY_WORKERS="")
    try:
        first = workers(stack)
        assert len(first) == 1
        api = stack.gateway()
        ids = list[str]()
        for _ in range(2):  # they end when they are told to
            ids.append(stack.submit("import time; time.sleep(3000)", timeout=3600))

        def running() -> bool:
            return all(stack.task(each).status == "running" for each in ids)

        until(running, PATIENCE_S)
        both = workers(stack)
        assert len(both) == 2
        for each in ids:
            api.post(f"/tasks/{each}/cancel", {})
        until(lambda: workers(stack) == first, PATIENCE_S)
        assert stack.runs_a_task() == 42
        until(lambda: not gateway_api.machines(api).machines, PATIENCE_S)
    finally:
        stack.close()
    assert not [pid for pid in both if psutil.pid_exists(pid)]
