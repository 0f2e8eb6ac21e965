"""A control group for each child: what is written into it, and what is read of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from running import options, run

from mecapy_worker.pool.child_groups import ChildGroup, group_bytes, lies_in_memory
from mecapy_worker.pool.pool import Pool


def test_version_2_ends_all_of_a_child(tmp_path: Path) -> None:
    """A bound without swap, and whoever goes over it goes with all in the group."""
    group = ChildGroup(tmp_path / "one", 2, 500 << 20)
    written = {file.name: file.read_text() for file in group.folder.iterdir()}
    assert written == {
        "memory.max": str(500 << 20),
        "memory.swap.max": "0",
        "memory.oom.group": "1",
    }


def test_what_is_counted(tmp_path: Path) -> None:
    """Own and shared pages, mapped or not, without what the kernel would free; all of the bound
    once it has ended somebody, and nothing of the group's child before.
    """
    group = ChildGroup(tmp_path / "one", 2, 500 << 20)
    (group.folder / "cgroup.procs").touch()
    (group.folder / "memory.stat").write_text("anon 3000\nfile 9000\nkernel 500\nshmem 4000\n")
    (group.folder / "memory.events").write_text("high 0\noom 2\noom_kill 2\n")
    group.take(12)
    assert group.memory_bytes() == 7000 and not group.over()
    (group.folder / "memory.events").write_text("high 0\noom 3\noom_kill 3\n")
    assert group.over() and group.memory_bytes() == 500 << 20
    assert not group.reusable()  # 12 is in it


def test_a_folder_in_memory_is_known() -> None:
    """Files of a folder that is memory are counted as such by the kernel."""
    assert lies_in_memory(Path("/dev/shm")) and not lies_in_memory(Path("/proc"))


async def test_who_takes_too_much_is_ended_by_the_kernel(tmp_path: Path) -> None:
    """A child whose unread data the kernel holds is ended, it is said for what, and its group
    serves the next one.
    """
    async with Pool(options(tmp_path, memory_bytes=200 << 20)) as pool:
        if "cgroup" not in pool.report.layers:
            pytest.skip(f"no control groups here: {pool.report.missing['cgroup']}")
        code = (
            "import socket, time\nkept = [socket.socketpair() for _ in range(1500)]\n"
            "for pair in kept:\n    for one in pair:\n        one.setblocking(False)\n"
            "        try:\n            while True: one.send(bytes(32768))\n"
            "        except OSError: pass\ntime.sleep(60)"
        )
        (limit,) = (await run(pool, code)).headers("limit")
        assert limit["kind"] == "memory" and limit["used"] >= group_bytes(200 << 20)
        for _ in range(3):
            assert (await run(pool, "result = len(bytes(100 << 20))")).result == 100 << 20
