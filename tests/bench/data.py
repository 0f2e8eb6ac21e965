"""256 MiB of float64 there and back: what it costs beyond the cell, and what the second time costs. Part of `make bench`; never a test."""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from mecapy_jupyter.client import Client

from .__main__ import stack

MIB = 1 << 20
TRIP = "import time; began = time.perf_counter(); y = x * 2; took = time.perf_counter() - began"


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--mib", type=int, default=256)
    arguments.add_argument("--rounds", type=int, default=5)
    asked, _ = arguments.parse_known_args()
    with (
        tempfile.TemporaryDirectory(prefix="mecapy-", ignore_cleanup_errors=True) as folder,
        stack(Path(folder)) as environment,
        Client(environment["MECAPY_URL"], environment["MECAPY_TOKEN"]) as client,
    ):
        client.run("1").result()
        measure(client, asked.mib * MIB // 8, asked.rounds)


def measure(client: Client, length: int, rounds: int) -> None:
    """Each round with a new array, so that all of it travels; every figure is the median of the rounds."""
    found: dict[str, list[float]] = {name: [] for name in ("local", "trip", "first", "again", "next", "empty", "write", "there")}

    def run(name: str, code: str, **inputs: object) -> dict[str, object]:
        began = time.perf_counter()
        home = client.run(code, inputs).vars
        found[name].append(time.perf_counter() - began)
        return home

    for number in range(rounds):
        one, other = np.arange(length) + float(number), np.arange(length) - float(number + 1)
        began = time.perf_counter()
        here = one * 2
        found["local"].append(time.perf_counter() - began)
        home = run("trip", TRIP, x=one)
        there = home["y"]
        found["there"].append(float(str(home["took"])))
        assert np.array_equal(here, there)
        del here
        run("first", "z = float(x[0])", x=other)
        run("again", "z = float(x[0])", x=other)
        run("next", "z = float(y[0])", y=there)
        run("empty", "z = 1")
        found["write"].append(written_s(one))
    show({name: statistics.median(times) for name, times in found.items()}, 8 * length / 1e6)


def written_s(array: np.ndarray) -> float:
    """What one plain copy of it into a new file takes on this machine, now."""
    with tempfile.TemporaryFile(buffering=0) as file:
        began, view = time.perf_counter(), memoryview(array).cast("B")
        while view:
            view = view[file.write(view) :]
        return time.perf_counter() - began


def show(median: dict[str, float], size_mb: float) -> None:
    beyond, floor = median["trip"] - median["local"], median["empty"]
    first, again, following = (median[name] - floor for name in ("first", "again", "next"))
    print(f"{'there and back, beyond the cell':<36} {beyond * 1e3:8.0f} ms {2 * size_mb / beyond:8.0f} MB/s   (target 1,500)")
    moving = median["trip"] - median["there"]
    print(f"{'the same, beyond the cell in its child':<36} {moving * 1e3:8.0f} ms {2 * size_mb / moving:8.0f} MB/s")
    print(f"{'the cell itself, in its child':<36} {median['there'] * 1e3:8.0f} ms   (touches fresh memory)")
    print(f"{'one plain copy of it into a file':<36} {median['write'] * 1e3:8.0f} ms {size_mb / median['write']:8.0f} MB/s")
    print(f"{'the cell itself, in a local kernel':<36} {median['local'] * 1e3:8.0f} ms")
    print(f"{'a task without any array':<36} {floor * 1e3:8.0f} ms")
    print(f"{'an array, first use, beyond that':<36} {first * 1e3:8.0f} ms")
    print(f"{'the same array again':<36} {again * 1e3:8.0f} ms {100 * again / first:8.1f} %      (target 5)")
    print(f"{'a result as the next input':<36} {following * 1e3:8.0f} ms {100 * following / first:8.1f} %")


if __name__ == "__main__":
    main()
