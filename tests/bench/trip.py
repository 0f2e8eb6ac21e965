"""The round trip of a trivial cell in a real kernel, local and with `%%mecapy`, the two as a ratio,
where its time goes (`stages`), and what a folder of many files beside the notebook adds.

Part of `make bench`. Times are of this machine at this moment; the ratio is what to look at. Never
run as a test.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

from mecapy_jupyter import Client

from . import stages

FILES, _LONG_AGO = 600, 1_700_000_000


@contextmanager
def stack(data: Path) -> Iterator[dict[str, str]]:
    """`mecapy up` in a folder of its own; yields the environment of a notebook that uses it."""
    up = subprocess.Popen(
        [sys.executable, "-m", "mecapy_jupyter.cli", "up", "--data", str(data)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert up.stdout is not None
    started = time.monotonic()
    said = dict(line.split(maxsplit=1) for line in (up.stdout.readline(), up.stdout.readline()))
    print(f"mecapy up: serving after {time.monotonic() - started:.1f} s   (target 6)")
    try:
        yield os.environ | {
            "MECAPY_URL": said["URL"].strip(),
            "MECAPY_TOKEN": said["token"].strip(),
        }
    finally:
        up.terminate()
        up.wait(30)


def run(
    kernel: BlockingKernelClient, code: str, printed: Callable[[str], object] = lambda _: None
) -> float:
    """Seconds from sending a cell until the kernel is idle again. `printed` gets what it writes."""

    def hear(message: Any) -> None:
        if message["msg_type"] == "stream":
            printed(message["content"]["text"])

    started = time.perf_counter()
    reply = kernel.execute_interactive(code, timeout=60, output_hook=hear)
    assert reply["content"]["status"] == "ok", reply["content"]
    return time.perf_counter() - started


def row(name: str, seconds: list[float], base: float | None = None) -> None:
    ordered = sorted(seconds)
    p50, p99 = statistics.median(ordered), ordered[int(len(ordered) * 0.99)]
    print(
        f"{name:<32} p50 {p50 * 1e3:7.2f} ms   p99 {p99 * 1e3:7.2f} ms"
        + (f"   {p50 / base:5.2f} × local   (target 2.0)" if base else "")
    )


def in_full_folder(kernel: BlockingKernelClient, folder: Path, count: int) -> list[float]:
    """The trips of a notebook with 600 files beside it; the first one sends them."""
    for number in range(FILES):
        file = folder / f"part{number % 20}" / f"{number}.txt"
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"{number}\n" * 500)
        os.utime(file, (_LONG_AGO, _LONG_AGO))
    run(kernel, f"import os; os.chdir({str(folder)!r})")
    run(kernel, "%%mecapy\nx = 1 + 1")
    return [run(kernel, "%%mecapy\nx = 1 + 1") for _ in range(count)]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("-n", type=int, default=200, help="round trips of each kind")
    count = arguments.parse_known_args()[0].n
    with (
        tempfile.TemporaryDirectory() as folder,
        tempfile.TemporaryDirectory() as empty,
        tempfile.TemporaryDirectory() as full,
        stack(Path(folder)) as environment,
    ):
        path = {"PYTHONPATH": str(Path(__file__).parents[2])}
        manager, kernel = start_new_kernel(
            env=environment | path, cwd=empty, extra_arguments=["--log-level=ERROR"]
        )
        try:
            cell = "x = 1 + 1"
            first_load = run(kernel, "%load_ext mecapy_jupyter")
            first_cell = run(kernel, f"%%mecapy\n{cell}")
            run(kernel, "from tests.bench import stages; stages.watch()")
            local, remote, trips = [], [], []
            for _ in range(count):  # in turn, so that a slow moment of the machine meets both
                local.append(run(kernel, cell))
                sent = time.time()
                remote.append(run(kernel, f"%%mecapy\n{cell}"))
                trips.append((sent, time.time()))
            idle, local_idle = [], []
            for _ in range(10):
                time.sleep(1.0)
                local_idle.append(run(kernel, cell))
                time.sleep(1.0)
                idle.append(run(kernel, f"%%mecapy\n{cell}"))
            base = statistics.median(local)
            row("local kernel", local)
            row("%%mecapy, back to back", remote, base)
            row("local kernel, after a second idle", local_idle)
            row("%%mecapy, after a second idle", idle, statistics.median(local_idle))
            print(f"{'%load_ext mecapy_jupyter':<32}     {first_load * 1e3:7.0f} ms   (target 300)")
            print(
                f"{'first %%mecapy of a notebook':<32}     {first_cell * 1e3:7.0f} ms   (target "
                f"500)"
            )
            notes: list[str] = []
            run(kernel, "print(stages.noted())", notes.append)
            row(f"%%mecapy, beside {FILES} files", in_full_folder(kernel, Path(full), 10), base)
        finally:
            kernel.stop_channels()
            manager.shutdown_kernel(now=True)
        print()
        with Client(environment["MECAPY_URL"], environment["MECAPY_TOKEN"]) as client:
            print("\n".join(stages.table(client, trips, "".join(notes))))


if __name__ == "__main__":
    main()
