"""What one child costs: CPU and page faults from its fork to its end, step by step, and what its
zygote spends on it. Part of `make bench`; never a test. CPU is steadier than time, and still a
fifth higher on a machine that does much else.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
from pathlib import Path
from typing import Any

import psutil

from mecapy_backend.shared.settings import Settings
from mecapy_jupyter.capture import packing
from mecapy_jupyter.wire import Cell, Payload
from mecapy_worker.pool.pool import Pool, PoolOptions
from mecapy_worker.shared.messages import TaskMessage

STEPS = {
    "confine": "after the fork: Landlock, seccomp, limits, user",
    "warm": "a warm-up task, while it waits",
    "receive": "reports that it is ready, reads the task",
    "open": "the inputs",
    "run": "the cell: x = 1 + 1",
    "collect": "changed variables and state",
}
TASK = TaskMessage("x = 1 + 1", Cell(header="%%mecapy", number=1), Payload())


async def one(pool: Pool, stream: bytes) -> list[Any]:
    """The marks of one child's life. It is warm, because no task waited for it."""
    while not pool.spare:  # noqa: ASYNC110  (a pool tells nobody)
        await asyncio.sleep(0.001)
    async with pool.child() as child:
        await child.send(TASK, stream)
        marks: list[Any] = []
        async for frame in child.frames():
            if frame.kind == "progress":
                marks = frame.header["marks"]
            if frame.kind == "outcome":
                assert frame.header["state"] == "completed", frame
                break
        return [["fork", 0.0, 0], *marks]


async def measure(count: int, folder: Path) -> None:
    stream = packing.pack({}, {}, ["x"], []).stream
    preload = tuple(Settings.model_fields["preload"].default)
    options = PoolOptions(
        folder, preload=preload, child_module="measured_child", python_path=(Path(__file__).parent,)
    )
    async with Pool(options) as pool:
        zygote = psutil.Process(pool.zygote_pid)
        for _ in range(20):
            await one(pool, stream)
        await asyncio.sleep(0.5)  # the last end, and the next birth
        before = zygote.cpu_times()
        lives = [await one(pool, stream) for _ in range(count)]
        await asyncio.sleep(0.5)
        after = zygote.cpu_times()
    own, below = (
        1e3 * sum(getattr(after, name) - getattr(before, name) for name in names) / count
        for names in (("user", "system"), ("children_user", "children_system"))
    )
    show(lives, own, below)


def show(lives: list[list[Any]], zygote_ms: float, children_ms: float) -> None:
    seen_ms = 0.0
    print(f"{'step':<10} {'CPU':>9} {'page faults':>12}   what happens")
    for at, step in enumerate(STEPS, 1):
        spans = [(life[at][1] - life[at - 1][1], life[at][2] - life[at - 1][2]) for life in lives]
        cpu_s, faults = (statistics.mean(values) for values in zip(*spans, strict=True))
        seen_ms += cpu_s * 1e3
        print(f"{step:<10} {cpu_s * 1e3:6.2f} ms {faults:12.0f}   {STEPS[step]}")
    print(
        f"{'end':<10} {children_ms - seen_ms:6.2f} ms {'':12}   its outcome, and the kernel takes "
        f"its memory back"
    )
    faults = statistics.mean(life[-1][2] for life in lives)
    print(f"{'a child':<10} {children_ms:6.2f} ms {faults:12.0f}")
    print(f"{'its zygote':<10} {zygote_ms:6.2f} ms {'':12}   the fork, the wait for the child")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("-n", type=int, default=200, help="children")
    with tempfile.TemporaryDirectory(prefix="mecapy-", ignore_cleanup_errors=True) as folder:
        asyncio.run(measure(arguments.parse_known_args()[0].n, Path(folder)))


if __name__ == "__main__":
    main()
