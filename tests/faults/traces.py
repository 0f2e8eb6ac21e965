"""What a stack occupies at a moment: open files, memory, shared memory, SysV objects, folders,
keys, rows, blobs.

Of what all programs of a machine share, only what our tasks made is looked at: it bears their mark
(`orders`). Compared by `test_hygiene`.
"""

from __future__ import annotations

import contextlib
import re
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from .orders import LITTER, SYSV
from .promises import listed
from .stack import Stack


@dataclass(frozen=True)
class Traces:
    """`fds` and `rss_bytes` by process: `worker 0`, `zygote 0`, `gateway 0`. The rest are names."""

    fds: dict[str, int]
    rss_bytes: dict[str, int]
    names: frozenset[str]


def of(stack: Stack) -> Traces:
    stack.until(lambda: _all_wait(stack), "as many children wait as ever do")
    processes = dict[str, psutil.Process]()
    for name in ("gateway", "worker"):
        for number, process in enumerate(stack.of(name)):
            processes[f"{name} {number}"] = psutil.Process(process.pid)
            if name == "worker":
                processes[f"zygote {number}"] = process.zygote()
    return Traces(
        {name: process.num_fds() for name, process in processes.items()},
        {name: process.memory_info().rss for name, process in processes.items()},
        frozenset([*_shared(), *_sysv(), *_temporary(stack)]),
    )


def _all_wait(stack: Stack) -> bool:
    """Whether each worker has made the children that take the next tasks. Their folders are among
    the traces: with fewer of them before than after, one would count as left.
    """
    with contextlib.suppress(StopIteration, psutil.Error, ProcessLookupError):
        return all(
            len(worker.children()) > int(worker.environment["MECAPY_WORKER_SLOTS"])
            for worker in stack.of("worker")
        )
    return False


def _shared() -> list[str]:
    return [str(path) for path in Path("/dev/shm").glob(f"*{LITTER}*")]


def _sysv() -> list[str]:
    objects = list[str]()
    for path in Path("/proc/sysvipc").iterdir():
        keys = [int(line.split()[0]) for line in path.read_text().splitlines()[1:]]
        objects += [f"SysV {path.name} {key}" for key in keys if SYSV <= key < SYSV + 10**6]
    return objects


def _temporary(stack: Stack) -> list[str]:
    """Folders of the pools, logs on their way, unfinished blobs. Children have new names; how many
    there are is what counts.
    """
    pools = listed(stack.scratch, "mecapy-worker-*/pool-*/*")
    children = [
        f"folder of child {number}"
        for number, _ in enumerate(path for path in pools if path.name.startswith("child-"))
    ]
    others = [str(path) for path in pools if not path.name.startswith("child-")]
    logs = [str(path) for path in listed(stack.scratch, "mecapy-worker-*/logs/*")]
    unfinished = [
        str(path)
        for pattern in (".partial/*", ".incoming/*/*/*")
        for path in listed(stack.blobs, pattern)
    ]
    loose = [
        str(path) for path in stack.scratch.iterdir() if not path.name.startswith("mecapy-worker-")
    ]
    return [*children, *others, *logs, *unfinished, *loose]


def more(stack: Stack, before: Traces, *, fds: int, within_s: float = 120.0) -> list[str]:
    """What there is now and was not before; asked again for a while, for something may just be on
    its way out.
    """
    until = time.monotonic() + within_s
    while True:
        now = of(stack)
        left = sorted(now.names - before.names)
        left += [
            f"{name}: {count} open files after {before.fds[name]}"
            for name, count in now.fds.items()
            if count > before.fds[name] + fds
        ]
        if not left or time.monotonic() > until:
            return left
        time.sleep(0.2)


_QUEUES_OWN = re.compile(rb"mecapy:queue:(shares|(short:)?(\d+\.\d+:)?first)")
"""Of users, not of tasks, and a place of each lane that the next task writes over."""


def stored(stack: Stack, within_s: float = 0.0) -> list[str]:
    """Every row, key and blob of tasks that there still is; asked again for a while."""
    until = time.monotonic() + within_s
    while (left := _stored(stack)) and time.monotonic() < until:
        time.sleep(0.2)
    return left


def _stored(stack: Stack) -> list[str]:
    tables = (
        "SELECT 'row of tasks' AS what FROM tasks UNION ALL SELECT 'row of blobs ' || digest "
        "FROM blobs"
    )
    left = [str(row["what"]) for row in stack.sql(tables)]
    with stack.redis() as redis:
        left += [
            f"key {key!r}" for key in redis.scan_iter("mecapy:*") if not _QUEUES_OWN.fullmatch(key)
        ]
    return left + [f"blob {path.name}" for path in listed(stack.blobs, "*/??/*")]
