"""A clock that is an hour wrong on one host: leases and times are PostgreSQL's, so nothing is lost;
it is named, to be set right.
"""

from __future__ import annotations

import importlib.util
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ..gate import Gate
from .asking import UP, held
from .stack import Stack


def wrong(hours: int) -> dict[str, str]:
    """The environment of a process whose clock is so far off."""
    spec = importlib.util.find_spec("libfaketime")
    libraries = (
        [*Path(spec.origin).parent.rglob("libfaketime.so.1")] if spec and spec.origin else []
    )
    libraries += Path("/usr/lib").glob("*/faketime/libfaketime.so.1")
    for library in libraries:
        environment = {
            "LD_PRELOAD": str(library),
            "FAKETIME": f"{hours:+d}h",
            "DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
        environment["FAKETIME_FORCE_MONOTONIC_FIX"] = (
            "0"  # with it, whoever waits for Python's lock spins
        )
        said = subprocess.run(
            ["date", "+%s"],
            env={"PATH": "/usr/bin:/bin"} | environment,
            capture_output=True,
            check=False,
        )
        if (
            said.stdout.strip().isdigit()
            and abs(int(said.stdout) - time.time() - hours * 3600) < 60
        ):
            return environment
    pytest.skip("needs libfaketime, for this machine's architecture")


@pytest.mark.long
@pytest.mark.parametrize("hours", [1, -1])
def test_gateway_an_hour_off(stack: Stack, hours: int) -> None:
    """Tasks of such a gateway start at once, and their times are right; /readyz names the clock and
    is ready all the same.
    """
    off = stack.gateway(environment=wrong(hours))
    task = stack.submit(UP.format(0.1, hours), hours, to=off)
    row = stack.final(task)
    assert (
        row["attempt"] == 1 and abs((row["created_at"] - datetime.now(UTC)).total_seconds()) < 120
    )
    with stack.http(off) as http:
        answer = http.get("/readyz?verbose")
    assert answer.status_code == 200 and answer.json()["parts"]["clock"] == "wrong"
    assert "NTP" in answer.json()["advice"]["clock"] and "36" in answer.json()["advice"]["clock"]
    stack.end(off)


@pytest.mark.parametrize("hours", [1, pytest.param(-1, marks=pytest.mark.long)])
def test_worker_an_hour_off(stack: Stack, hours: int, gate: Gate) -> None:
    """Such a worker loses no lease early and keeps none too long: its tasks run once, and one it
    dies with is taken back.
    """
    for worker in stack.of("worker"):
        stack.end(worker)
    off = stack.worker(environment=wrong(hours))
    tasks = [stack.submit(UP.format(0.5, n), n) for n in range(3)]
    assert {stack.final(task)["attempt"] for task in tasks} == {1}
    with stack.http() as http:
        health = stack.until(
            lambda: http.get("/workers").json()[0]["info"].get("health"), "its heartbeat says so"
        )
    assert "clock" in health
    lost = stack.submit(held(gate, "lost"), "lost")
    assert stack.until_running(lost) == off
    off.kill()
    gate.open()
    stack.worker()
    assert stack.final(lost)["attempt"] == 2
