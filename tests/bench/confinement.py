"""What confinement costs: the same trivial task in confined and in unconfined children, in turn, in
one run. Never run as a test.

From lending a ready child to its outcome, without gateway and store. Two clocks: the wall's, of
which the quickest tenth tells what the trip takes and the median how busy the machine was; and the
child's own processor time for the task, which others hardly disturb. What confinement costs before
a task comes and after it has gone is told besides. Run by `python -m tests.bench.confinement`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

from mecapy_backend.shared.settings import Settings
from mecapy_worker.pool.pool import Pool, PoolOptions
from mecapy_worker.shared.messages import TaskMessage

TARGET_MS = 1.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_KINDS = {"confined": "mecapy_worker.child.child", "unconfined": "unconfined"}
_TASK = TaskMessage("x = 1 + 1", outputs=())


@dataclass
class Kind:
    """One pool and what its trips took, in milliseconds."""

    pool: Pool
    wall_ms: list[float] = field(default_factory=list[float])
    cpu_ms: list[float] = field(default_factory=list[float])

    async def trip(self) -> None:
        """Until the outcome is here. The next child is ready before this returns, so that no trip
        waits for one.
        """
        async with self.pool.child() as child:
            before_ms, began = ran_ms(child.pid), time.perf_counter()
            await child.send(_TASK)
            async for frame in child.frames():
                if frame.kind == "outcome":
                    self.wall_ms.append(1e3 * (time.perf_counter() - began))
                    self.cpu_ms.append(ran_ms(child.pid) - before_ms)
                    break  # as a worker does it: a child that has answered is ended from outside
        while not self.pool.spare:  # noqa: ASYNC110  (a pool tells nobody)
            await asyncio.sleep(0.002)

    def around_ms(self) -> float:
        """Processor time of the zygote, of all the children it has reaped, and of the helper that
        makes their namespaces.
        """
        helpers = [
            int(pid)
            for pid in Path(f"/proc/{self.pool.zygote_pid}/task/{self.pool.zygote_pid}/children")
            .read_text()
            .split()
        ]
        fields = [
            _stat(self.pool.zygote_pid)[11:15],
            *(_stat(pid)[11:15] for pid in helpers if os.getpgid(pid) != pid),
        ]
        return 1e3 * sum(int(ticks) for some in fields for ticks in some) / _TICKS_PER_S


def ran_ms(pid: int) -> float:
    """What a process has run by now, to the nanosecond (schedstat); its end may have begun."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e6


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def quick(values: Sequence[float]) -> float:
    """The tenth percentile: what it takes when nobody disturbs."""
    return statistics.quantiles(values, n=10)[0]


async def compare(count: int) -> None:
    async with AsyncExitStack() as stack:
        kinds: dict[str, Kind] = {}
        for name, module in _KINDS.items():
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            options = PoolOptions(
                scratch,
                preload=Settings().preload,
                child_module=module,
                python_path=(Path(__file__).parent,),
            )
            kinds[name] = Kind(await stack.enter_async_context(Pool(options)))
        for kind in kinds.values():
            await kind.trip()
        before = {name: kind.around_ms() for name, kind in kinds.items()}
        for n in range(count):  # who goes first changes
            for kind in sorted(
                kinds.values(), key=lambda kind: kind is kinds["confined"], reverse=bool(n % 2)
            ):
                await kind.trip()
        around = {name: (kind.around_ms() - before[name]) / count for name, kind in kinds.items()}
        show(kinds["confined"], kinds["unconfined"], around)


def show(confined: Kind, unconfined: Kind, around: dict[str, float]) -> None:
    print(f"{'':<12}{'quickest tenth':>16}{'median':>12}{'processor':>13}{'whole life':>14}")
    for name, kind in (("confined", confined), ("unconfined", unconfined)):
        figures = (
            quick(kind.wall_ms),
            statistics.median(kind.wall_ms),
            statistics.median(kind.cpu_ms),
            around[name],
        )
        print(
            f"{name:<12}{figures[0]:13.2f} ms{figures[1]:9.2f} ms{figures[2]:10.2f} "
            f"ms{figures[3]:11.2f} ms"
        )
    wall, cpu = (
        quick(confined.wall_ms) - quick(unconfined.wall_ms),
        statistics.median(confined.cpu_ms) - statistics.median(unconfined.cpu_ms),
    )
    median = statistics.median(
        c - u for c, u in zip(confined.wall_ms, unconfined.wall_ms, strict=True)
    )
    print(
        f"{'difference':<12}{wall:13.2f} ms{median:9.2f} ms{cpu:10.2f} "
        f"ms{around['confined'] - around['unconfined']:11.2f} ms"
    )
    reached = "reached" if wall <= TARGET_MS and cpu <= TARGET_MS else "missed"
    said = f"{max(wall, 0):.2f} ms per round trip, {max(cpu, 0):.2f} ms of CPU"
    print(f"confinement costs {said} (target {TARGET_MS:g}: {reached})")
    print("whole life: with fork, wait and end, without the PID namespace's init (about 0.4 ms)")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("-n", type=int, default=200, help="round trips of each kind")
    asyncio.run(compare(arguments.parse_known_args()[0].n))


if __name__ == "__main__":
    main()
