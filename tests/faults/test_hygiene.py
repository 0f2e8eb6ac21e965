"""After many tasks, half of them killed, cancelled or failing, nothing of them is left; and a
worker is no larger than it was.

`MECAPY_SOAK_TASKS=10000` runs so many; `make long` a few hundred, `make test` a few dozen.
"""

from __future__ import annotations

import ctypes
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest

from mecapy_jupyter import Client

from . import traces, verdict
from .customers import at_work
from .orders import LITTER, ROUGH, SYSV
from .soak import SETTINGS
from .stack import TOKEN, Stack

TASKS = int(os.environ.get("MECAPY_SOAK_TASKS", "300"))
WARM = 100
GROWTH_BYTES = 10_000_000
MORE_FDS = 16  # connections of a pool that was not yet full


@pytest.fixture(scope="module")
def roomy(cluster: Path) -> Iterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="mecapy-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        with Stack(Path(folder), cluster, **SETTINGS, WORKER_SLOTS="4") as stack:
            stack.gateway()
            stack.worker()
            stack.worker()
            yield stack


@pytest.mark.timeout(900 + TASKS)
@pytest.mark.parametrize(
    ("warm", "count"), [(40, 40), pytest.param(WARM, TASKS, marks=pytest.mark.long)]
)
def test_nothing_is_left(roomy: Stack, warm: int, count: int) -> None:
    """No process, file, shared memory, SysV object, open file or key of a task outlives it;
    forgotten, it leaves no row and no blob.
    """
    work(roomy, warm, "warm")
    before = traces.of(roomy)
    work(roomy, count, "rough")
    arrays(roomy)
    assert traces.more(roomy, before, fds=MORE_FDS) == []
    after = traces.of(roomy)
    grown = {name: after.rss_bytes[name] - size for name, size in before.rss_bytes.items()}
    print(f"memory after {warm} tasks, and after {count} more:")
    for name, size in before.rss_bytes.items():
        print(
            f"{name:<10} {size / 1e6:7.1f} MB {grown[name] / 1e6:+7.1f} MB, {before.fds[name]} → "
            f"{after.fds[name]} open files"
        )
    assert max(grown.values()) < GROWTH_BYTES, grown
    forget_all(roomy)
    assert traces.stored(roomy, within_s=120.0) == []


def work(stack: Stack, count: int, seed: str) -> None:
    ledger = at_work(stack, seed, kinds=ROUGH, most=count, calm=True)
    found = verdict.of(stack, ledger, seed, others=True)
    assert found.good, str(found)


def arrays(stack: Stack) -> None:
    """Values large enough to be blobs, there and back."""
    with Client(stack.of("gateway")[0].url, TOKEN) as client:
        for number in range(10):
            array = np.arange(200_000) + number
            assert (client.run("2 * array", inputs={"array": array}).result(240) == 2 * array).all()


def forget_all(stack: Stack) -> None:
    with stack.http() as http:
        while found := http.get("/tasks", params={"limit": 500}).json()["tasks"]:
            for task in found:
                forget(http, task["task_id"])


def forget(http: httpx.Client, task_id: str) -> None:
    """As a client does: when there were too many requests, wait as long as the answer says."""
    while (answer := http.delete(f"/tasks/{task_id}")).status_code == 429:
        time.sleep(float(answer.headers["Retry-After"]))
    assert answer.status_code == 204


def test_traces_see(roomy: Stack) -> None:
    """What a task could leave behind would be found: a file, shared memory of both kinds, a folder,
    open files, a row, a key, a blob.
    """
    before, libc = traces.of(roomy), ctypes.CDLL(None)
    shared, loose, blob = (
        Path(f"/dev/shm/{LITTER}-0-{os.getpid()}"),
        roomy.scratch / "loose",
        roomy.blobs / "local" / "ab" / "ab",
    )
    segment = libc.shmget(SYSV + 10**6 - 1, 4096, 0o1600)
    try:
        for path in (shared, loose, blob):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x")
        left = traces.more(roomy, before, fds=-1000, within_s=0.0)
        assert {str(shared), str(loose), f"SysV shm {SYSV + 10**6 - 1}"} < set(left) and any(
            "open files" in one for one in left
        )
        task = roomy.submit("1", 1)
        roomy.final(task)
        seen = {"row of tasks", f"key b'mecapy:events:{task.id}'", "blob ab"}
        roomy.until(lambda: seen <= set(traces.stored(roomy)), f"{seen} are seen")
    finally:
        libc.shmctl(segment, 0, None)
        for path in (shared, loose, blob):
            path.unlink()
