"""Independent trivial tasks through the API, each in a child of its own, and the calls of a map:
per second, and at what CPU.

Figures are of this machine at this moment and whatever else it does; CPU per task is steadier than
tasks per second. Never run as a test. Run by `python -m tests.bench.throughput`.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from mecapy_jupyter import Client, sweep
from mecapy_jupyter.stack import embedded
from notebooks.run_demo import stack

TARGET_TASKS_PER_S = 100.0
_MAP_TARGET = "target 5,000"
_SENDERS = 8


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU seconds and unshared memory by component at one moment. Children count from their end on,
    with the zygote that reaped them.
    """

    cpu_s: Counter[str]
    memory_bytes: Counter[str]


def components(data: Path) -> dict[int, str]:
    """Every process of the stack that lives, by pid: its component's name. Children that are ready
    are `child`.
    """
    found: dict[int, str] = {}
    for component in embedded.status(data).as_json()["components"]:
        process = psutil.Process(component["pid"])
        found[process.pid] = component["name"]
        for below in process.children(recursive=True):
            found[below.pid] = (
                component["name"]
                if component["name"] != "worker"
                else "zygote"
                if below.ppid() == process.pid
                else "child"
            )
    found[os.getpid()] = "client"
    return found


def spent(data: Path) -> Spent:
    cpu_s, memory_bytes = Counter[str](), Counter[str]()
    for pid, name in components(data).items():
        try:
            times, memory = psutil.Process(pid).cpu_times(), psutil.Process(pid).memory_full_info()
        except psutil.NoSuchProcess:
            continue
        if name != "child":  # a ready child's birth is counted when it is reaped
            cpu_s[name] += times.user + times.system
            memory_bytes[name] += memory.uss
        if name in ("zygote", "postgres"):
            cpu_s["children" if name == "zygote" else name] += (
                times.children_user + times.children_system
            )
    return Spent(cpu_s, memory_bytes)


def settled(data: Path) -> None:
    """Wait until no zygote imports any more: its start would be counted with the tasks."""
    before, now, alive = -1.0, 0.0, Counter[str]()
    while alive["zygote"] < alive["worker"] or now > before + 0.05:
        before = now
        time.sleep(1.5)
        now, alive = spent(data).cpu_s["zygote"], Counter(components(data).values())


def trivial(number: int) -> int:
    return number + 1


def tasks(client: Client, count: int) -> tuple[float, int]:
    """Seconds and errors of `count` tasks, submitted by several threads, each of which waits for
    its own.
    """

    def one(number: int) -> bool:
        return client.submit(trivial, number).result(60) == number + 1

    started = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(_SENDERS) as senders:
        errors = sum(
            not good for good in senders.map(lambda number: _tried(one, number), range(count))
        )
    return time.perf_counter() - started, errors


def _tried(one: Any, number: int) -> bool:
    try:
        return one(number)
    except Exception as error:
        print(f"task {number}: {error!r}")
        return False


def short_calls(client: Client, count: int) -> None:
    """Many small functions, each with a Future of its own."""
    started = time.perf_counter()
    futures = [client.submit(trivial, number) for number in range(count)]
    assert [future.result(60) for future in futures] == list(range(1, count + 1))
    rate = count / (time.perf_counter() - started)
    print(f"submit: {rate:.0f} calls/s (target 300) in {len({one.id for one in futures})} tasks")


def calls(client: Client, count: int) -> float:
    """Seconds of one map over `count` trivial calls."""
    started = time.perf_counter()
    assert list(client.map(trivial, range(count))) == list(range(1, count + 1))
    return time.perf_counter() - started


def sweeps(client: Client, points: int) -> None:
    """A sweep of trivial points beside a map of as many calls; both know how long a call takes."""
    for attempt in ("first", "again"):
        map_s, started = calls(client, points), time.perf_counter()
        name = f"trivial {attempt}"
        found = sweep(trivial, name=name, again=True, client=client, number=range(points))
        sweep_s = time.perf_counter() - started
        assert found.result.tolist() == list(range(1, points + 1))
        print(
            f"sweep, {attempt}: {points} points in {sweep_s:.2f} s, {sweep_s / map_s:.1f} times a "
            f"map (target 1.0), {found.task.nunique()} tasks"
        )
    started = time.perf_counter()
    sweep(trivial, name="trivial again", client=client, number=range(points))
    print(f"sweep, nothing new: {points} points in {time.perf_counter() - started:.2f} s")


def table(count: int, seconds: float, errors: int, before: Spent, after: Spent) -> None:
    print(
        f"{count} tasks in {seconds:.2f} s: {count / seconds:.0f} tasks/s (target "
        f"{TARGET_TASKS_PER_S:.0f}), {errors} errors"
    )
    print(f"{'component':<10} {'CPU per task':>14} {'memory before':>15} {'after':>10}")
    total = 0.0
    for name in sorted(after.cpu_s):
        each_s = (after.cpu_s[name] - before.cpu_s[name]) / count
        total += each_s
        memory = (
            f"{before.memory_bytes[name] / 1e6:11.1f} MB {after.memory_bytes[name] / 1e6:7.1f} MB"
            if name in after.memory_bytes
            else ""
        )
        print(f"{name:<10} {each_s * 1e3:11.2f} ms {memory}")
    cores = os.cpu_count() or 1
    print(
        f"{'all':<10} {total * 1e3:11.2f} ms   ({cores} cores have room for {cores / total:.0f} "
        f"tasks/s)"
    )


def main(arguments: Iterable[str] | None = ()) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", type=int, default=300, help="independent tasks")
    parser.add_argument("--calls", type=int, default=50_000, help="calls of the map")
    parser.add_argument("--points", type=int, default=10_000, help="points of the sweep")
    options = parser.parse_args(None if arguments is None else list(arguments))
    with (
        tempfile.TemporaryDirectory(prefix="mecapy-", ignore_cleanup_errors=True) as folder,
        stack(Path(folder)) as at,
    ):
        data = Path(folder) / "stack"
        with Client(at.url, at.token) as client:
            settled(data)
            tasks(client, 30)  # warm
            before = spent(data)
            seconds, errors = tasks(client, options.n)
            time.sleep(0.5)  # the last children's ends
            table(options.n, seconds, errors, before, spent(data))
            short_calls(client, 3 * options.n)
            for attempt in ("first", "again"):
                took_s = calls(client, options.calls)
                print(
                    f"map, {attempt}: {options.calls} calls in {took_s:.2f} s: "
                    f"{options.calls / took_s:,.0f} calls/s ({_MAP_TARGET})"
                )
            sweeps(client, options.points)
            print(
                f"this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB "
                f"at most"
            )


if __name__ == "__main__":
    main(None)
