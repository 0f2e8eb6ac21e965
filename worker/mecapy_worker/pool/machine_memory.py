"""The default memory limit of a task: a share of the machine's memory, so that a task ends with a
message before the kernel ends the worker.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

MOST_BYTES = 4_000_000_000
_SHARE = 0.75  # the rest is the worker's, its zygote's and the system's


def of_a_task(slots: int, root: Path = Path("/")) -> int:
    """The limit in bytes, for each of this many tasks at once."""
    there = min([psutil.virtual_memory().total, *_cgroup_limits(root)])
    return min(MOST_BYTES, int(there * _SHARE / slots))


def _cgroup_limits(root: Path) -> Iterator[int]:
    """The limits of our group and those above it, as far as the kernel shows them (v2, then v1)."""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers not in ("", "memory"):
                continue
            top = root / "sys/fs/cgroup" / controllers
            name = "memory.limit_in_bytes" if controllers else "memory.max"
            group = top / path.lstrip("/")
            for folder in (group, *group.parents):
                with suppress(OSError, ValueError):  # not shown; "max"
                    yield int((folder / name).read_text())
                if folder == top:
                    break
