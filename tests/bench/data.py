"""256 MiB of float64 there and back: what it costs beyond the cell, what the second time costs, and
what the gateway holds of a large body. Part of `make bench`; never a test.

On a virtual machine the first touch of each page waits for the host, ten times as long as all the
rest, and memory that was given back is the host's again after seconds. As a machine that has been
up for a while has its memory, so is this one's touched before each round (`--cold` leaves that
out), and each task is forgotten, its blobs with it: then these figures are ours and not the host's.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from mecapy_jupyter.client.client import Client
from mecapy_jupyter.client.task import Task
from mecapy_jupyter.travel.pickling import known_blobs

from .trip import stack

MIB = 1 << 20
TRIP = "import time; began = time.perf_counter(); y = x * 2; took = time.perf_counter() - began"
REPEATED_MIB = (64, 256, 900)  # a variable on its way to a worker may have 1 GB
AGAIN = 8
"""So often is each array used again."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--mib", type=int, default=256)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument(
        "--cold", action="store_true", help="with whatever memory the machine has next"
    )
    asked, _ = arguments.parse_known_args()
    with (
        tempfile.TemporaryDirectory(prefix="mecapy-", ignore_cleanup_errors=True) as folder,
        stack(Path(folder)) as environment,
        Client(environment["MECAPY_URL"], environment["MECAPY_TOKEN"]) as client,
    ):
        client.run("1").result()
        there_and_back(client, asked.mib * MIB // 8, asked.rounds, cold=asked.cold)
        print(
            f"{'used again':<14} {'first':>9} {'again':>9}  {'more than a trivial task':>30}   "
            f"{'a result as next input':>24}"
        )
        for mib in REPEATED_MIB:
            used_again(client, mib, asked.rounds, cold=asked.cold)
        through_the_gateway(client, Path(folder))


def touch(size_bytes: int) -> None:
    """Write to so much memory once, in a process that then gives it back."""
    subprocess.run(
        [sys.executable, "-c", f"import numpy; numpy.ones({size_bytes}, 'u1')"], check=True
    )


def forget(client: Client, *tasks: Task) -> None:
    for task in tasks:
        task.home.bound.clear()
        client.gateway.delete(f"/tasks/{task.id}")


def timed(client: Client, code: str, **inputs: object) -> tuple[float, Task]:
    began = time.perf_counter()
    task = client.run(code, inputs)
    assert task.vars
    return time.perf_counter() - began, task


def there_and_back(client: Client, length: int, rounds: int, *, cold: bool) -> None:
    """Each round with a new array, so that all of it travels; every figure is the median of the
    rounds.
    """
    found: dict[str, list[float]] = {name: [] for name in ("local", "trip", "there", "write")}
    for number in range(rounds):
        one = np.arange(length) + float(number)
        began = time.perf_counter()
        here = one * 2
        found["local"].append(time.perf_counter() - began)
        if not cold:
            touch(4 * one.nbytes)
        took, task = timed(client, TRIP, x=one)
        found["trip"].append(took)
        found["there"].append(float(str(task.vars["took"])))
        assert np.array_equal(here, task.vars["y"])
        del here
        forget(client, task)
        found["write"].append(written_s(one))
    median = {name: statistics.median(times) for name, times in found.items()}
    beyond, moving, size_mb = (
        median["trip"] - median["local"],
        median["trip"] - median["there"],
        8 * length / 1e6,
    )
    print(
        f"{'there and back, without the cell':<38} {beyond * 1e3:8.0f} ms "
        f"{2 * size_mb / beyond:8.0f} MB/s   (target 1,500)"
    )
    best = min(trip - local for trip, local in zip(found["trip"], found["local"], strict=True))
    print(f"{'the best round':<38} {best * 1e3:8.0f} ms {2 * size_mb / best:8.0f} MB/s")
    print(
        f"{'without the cell, in the child':<38} {moving * 1e3:8.0f} ms "
        f"{2 * size_mb / moving:8.0f} MB/s"
    )
    print(
        f"{'the cell alone, in the child':<38} {median['there'] * 1e3:8.0f} ms   (touches fresh "
        f"memory)"
    )
    print(f"{'the cell alone, in a local kernel':<38} {median['local'] * 1e3:8.0f} ms")
    print(
        f"{'one plain copy into a file':<38} {median['write'] * 1e3:8.0f} ms "
        f"{size_mb / median['write']:8.0f} MB/s"
    )


def written_s(array: np.ndarray) -> float:
    """What one plain copy of it into a new file takes on this machine, now."""
    with tempfile.TemporaryFile(buffering=0) as file:
        began, view = time.perf_counter(), memoryview(array).cast("B")
        while view:
            view = view[file.write(view) :]
        return time.perf_counter() - began


def used_again(client: Client, mib: int, rounds: int, *, cold: bool) -> None:
    """Medians of the rounds; in each a new array is used for the first time, and then in turn with
    a number and with a result.
    """
    found: dict[str, list[float]] = {name: [] for name in ("first", "again", "next", "number")}
    for number in range(rounds):
        array = np.arange(mib * MIB // 8) + float(number)
        if not cold:
            touch(3 * array.nbytes)
        took, first = timed(client, "z = float(x[0])", x=array)
        found["first"].append(took)
        _, made = timed(client, f"import numpy; y = numpy.ones({array.size}) * {number}")
        result = made.vars["y"]
        for name, value in [("again", array), ("next", result), ("number", 1.5)] * AGAIN:
            code = "z = float(x)" if name == "number" else "z = float(x[0])"
            found[name].append(timed(client, code, x=value)[0])
        del result, array
        forget(client, first, made)
    first, again, following, number_s = (
        1e3 * statistics.median(found[name]) for name in ("first", "again", "next", "number")
    )
    beyond = first - number_s
    share, next_share = (
        f"{at - number_s:5.1f} ms {100 * (at - number_s) / beyond:5.1f} %"
        for at in (again, following)
    )
    print(
        f"{mib:8} MiB {first:8.0f} ms {again:6.0f} ms  {beyond:9.0f} ms, {share} (target 5) "
        f"{next_share:>22}"
    )


def through_the_gateway(client: Client, folder: Path, size_bytes: int = 1 << 30) -> None:
    """A body of 1 GiB over HTTP, as from another machine: how fast, and by how much the gateway
    grew at most.
    """
    command = [
        sys.executable,
        "-m",
        "mecapy_jupyter.cli",
        "status",
        "--json",
        "--data",
        str(folder),
    ]
    components = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)[
        "components"
    ]
    process = Path("/proc") / str(
        next(one["pid"] for one in components if one["name"] == "gateway")
    )
    data = np.arange(size_bytes // 8)
    path = f"/blobs/{known_blobs.hashed(data)}"
    for name, work in (
        (
            "PUT 1 GiB through the gateway",
            lambda: client.gateway.put_bytes(path, memoryview(data).cast("B")),
        ),
        ("GET 1 GiB through the gateway", lambda: sum(map(len, client.gateway.get_pieces(path)))),
    ):
        (process / "clear_refs").write_text("5")  # its peak is what it has now
        before, began = memory_bytes(process, "VmRSS"), time.perf_counter()
        work()
        took_s, grown = time.perf_counter() - began, memory_bytes(process, "VmHWM") - before
        print(
            f"{name:<38} {took_s * 1e3:8.0f} ms {size_bytes / 1e6 / took_s:8.0f} MB/s   it grew "
            f"by {grown / MIB:.1f} MiB (target 64)"
        )


def memory_bytes(process: Path, name: str) -> int:
    return next(
        int(line.split()[1]) * 1024
        for line in (process / "status").read_text().splitlines()
        if line.startswith(name)
    )


if __name__ == "__main__":
    main()
