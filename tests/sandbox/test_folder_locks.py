"""A folder and a control group are their owner's while it lives, and removed when it is gone."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from mecapy_worker.pool.cgroups import Cgroup
from mecapy_worker.pool.scratch import Scratch
from mecapy_worker.shared import folder_lock

_SIZES = 1 << 30, 100, 1 << 28
_CRASHES = f"""
import os
from mecapy_worker.pool.cgroups import Cgroup
group = Cgroup{_SIZES}
print(*[folder for folder in group._folders.values() if folder.exists()], flush=True)
os._exit(1)
"""


@pytest.fixture
def group() -> Iterator[Cgroup]:
    try:
        group = Cgroup(*_SIZES)
    except OSError as error:
        pytest.skip(f"no control groups here: {error}")
    yield group
    group.close()


def test_a_group_outlives_the_start_of_another_worker(group: Cgroup) -> None:
    """Before a process is in it, and between its children, no process holds it."""
    Cgroup(*_SIZES).close()
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        group.take(child.pid)
        taken = group.take_child(child.pid)
    finally:
        child.kill()
        child.communicate()
    assert taken.folder.name == "child-1"
    group.give_back(taken)


def test_a_group_of_a_crashed_worker_is_removed(group: Cgroup) -> None:
    done = subprocess.run([sys.executable, "-c", _CRASHES], capture_output=True, text=True)
    left = [Path(folder) for folder in done.stdout.split()]
    assert left, done.stderr
    until = time.monotonic() + 30  # a pool of another test may be removing it just now
    while any(folder.exists() for folder in left) and time.monotonic() < until:
        Cgroup(*_SIZES).close()
    assert not any(folder.exists() for folder in left)


def test_a_folder_taken_before_it_is_locked_is_made_again(tmp_path: Path) -> None:
    """Another process locks it and is removing it, or has removed it."""
    numbers = count()
    held: list[int] = []

    def make() -> Path:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        if folder.name == "0":
            held.append(os.open(folder, os.O_RDONLY))
            fcntl.flock(held[0], fcntl.LOCK_EX)
        if folder.name == "1":
            folder.rmdir()
        return folder

    folder, lock = folder_lock.made(make)
    assert folder.name == "2" and list(folder_lock.left([folder])) == []
    for fd in (lock, *held):
        os.close(fd)
    assert list(folder_lock.left([folder])) == [folder]


async def test_leftovers_are_swept(tmp_path: Path) -> None:
    """Folders of a pool that crashed are removed by the next one;
    those of a living pool are not.
    """
    living = Scratch(tmp_path)
    (tmp_path / "pool-crashed" / "child-1").mkdir(parents=True)
    Scratch(tmp_path).close()
    assert living.base.exists() and not (tmp_path / "pool-crashed").exists()
    living.close()
