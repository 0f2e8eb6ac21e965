"""Whether the promises held for every task that a test has submitted, and what is left of them."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
from pathlib import Path
from typing import Any

import psutil

from mecapy_backend.queue import keys
from mecapy_jupyter import wire

from . import history
from .stack import Stack
from .task import comes_again


def check(stack: Stack) -> None:
    """Every task submitted until now: one end, the right result, a legal life, a stream that
    ends once; and no more is owed.
    """
    for task in stack.tasks:
        row = stack.final(task)
        assert row["state"] == task.state, (task, row["outcome"], stack.logs())
        with stack.http() as http:
            if task.state == "completed":
                answer = comes_again(lambda at=f"/tasks/{task.id}/result": http.get(at))
                assert answer.json()["result"] == task.result
            answer = comes_again(lambda at=f"/tasks/{task.id}": http.get(at))
            assert answer.json()["status"] == task.state
        seen = list(stack.events(task))
        ends = [event.type in wire.FINAL for event in seen]
        assert ends == [False] * (len(seen) - 1) + [True], seen
    steps = (
        "SELECT was, now, was_attempt, attempt, changed_outcome FROM history WHERE task = "
        "$1 ORDER BY n"
    )
    for task in stack.tasks:
        history.check([history.Step(*row) for row in stack.sql(steps, task.id)])
    stack.tasks.clear()
    stack.until(lambda: not left_behind(stack), "nothing is left behind")


def settle(stack: Stack) -> None:
    """After a test: every way is open again, and what it has submitted is checked. A failure is
    this test's alone.
    """
    for process in stack.processes:
        process.postgres.mode("pass")
        process.redis.mode("pass")
    try:
        check(stack)
    finally:
        stack.tasks.clear()


def left_behind(stack: Stack) -> list[str]:
    """What nobody needs any more once every task is at its end: processes, folders, keys, and
    what waits in the queue.
    """
    left = list[str]()
    workers = stack.of("worker")
    for worker in workers:
        with contextlib.suppress(StopIteration, psutil.Error, ProcessLookupError):
            zygote = worker.zygote()
            idle = int(worker.environment["MECAPY_WORKER_SLOTS"]) + 1
            below = [
                (one.pid, os.getpgid(one.pid) == zygote.pid)
                for one in zygote.children(recursive=True)
            ]
            left += [f"process {pid}" for pid, _ in [one for one in below if not one[1]][idle:]]
            # The namespaces' helper, the init of each idle child, and the next one.
            left += [f"process {pid}" for pid, _ in [one for one in below if one[1]][idle + 2 :]]
    children = listed(stack.scratch, "mecapy-worker-*/pool-*/child-*")
    most = sum(int(worker.environment["MECAPY_WORKER_SLOTS"]) + 1 for worker in workers)
    alive = [path for path in children if not _abandoned(path.parent)]
    left += [str(path) for path in alive[most:]]
    if workers:
        left += map(str, listed(stack.scratch, "mecapy-worker-*/logs/*.log"))
    with stack.redis() as connection:
        lanes: Any = connection.smembers(f"{keys.QUEUE}:lanes")
        for lane in map(bytes.decode, lanes):
            left += [f"queued {name!r}" for name, _ in connection.zscan_iter(lane)]
            left += [f"in line {name!r}" for name, _ in connection.hscan_iter(f"{lane}:waiting")]
        left += [
            f"for ever {key!r}"
            for key in connection.scan_iter("mecapy:events:*")
            if connection.ttl(key) == -1
        ]
    return left


def listed(folder: Path, pattern: str) -> list[Path]:
    """What there is of this pattern. `Path.glob` fails when a folder vanishes meanwhile."""
    found = glob.glob(pattern, root_dir=folder, recursive=True)  # noqa: PTH207
    return [folder / name for name in found]


def _abandoned(folder: Path) -> bool:
    """Whether its pool is gone; the next one to start sweeps it."""
    with contextlib.suppress(OSError):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            return False
        finally:
            os.close(fd)
    return True
