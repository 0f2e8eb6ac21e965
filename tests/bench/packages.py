"""What packages, learned imports and the cache of results cost: cells with them beside the trivial
cell, in turn, as ratios of one run.

Part of `make bench`; never run as a test.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

from tests.worker.local_index import LocalIndex

from .trip import run, stack

PLAIN = "%%mecapy\nx = 1 + 1"
HIT = "%%mecapy --cache\nx = 1 + 2"
ADDS = "%%mecapy --with leanbeam=={}\nimport leanbeam\nx = leanbeam.answer"
REAL = importlib.util.find_spec("sklearn") and importlib.util.find_spec("seaborn")
NAMES = "sklearn.ensemble, seaborn" if REAL else "sympy"
IMPORTS = f"%%mecapy\nimport {NAMES}\nx = 1 + 1"
ROUNDS = 20
PAUSE_S = 0.7  # the next child is made ready meanwhile, as while somebody reads


@contextlib.contextmanager
def notebook() -> Iterator[BlockingKernelClient]:
    """A kernel in an empty folder, with a stack of its own; a trivial cell has run."""
    with tempfile.TemporaryDirectory() as data, stack(Path(data)) as environment:
        folder = Path(data) / "notebook"
        folder.mkdir()
        manager, kernel = start_new_kernel(
            env=environment, cwd=str(folder), extra_arguments=["--log-level=ERROR"]
        )
        try:
            run(kernel, "%load_ext mecapy_jupyter")
            run(kernel, PLAIN)
            yield kernel
        finally:
            kernel.stop_channels()
            manager.shutdown_kernel(now=True)


def offer(folder: Path) -> None:
    """An index with one small package in several versions, as the setting of the stacks."""
    index = LocalIndex(folder)
    for number in range(4):
        index.wheel("leanbeam", str(number), {"leanbeam.py": f"answer = {number}"})
    os.environ["MECAPY_PACKAGES_INDEX"] = index.url


def in_turn(*steps: Callable[[], float]) -> list[float]:
    """The median of each, so that a slow moment of the machine meets all."""
    seconds = list[list[float]]()
    for _ in range(ROUNDS):
        seconds.append([])
        for step in steps:
            time.sleep(PAUSE_S)
            seconds[-1].append(step())
    return [statistics.median(column) for column in zip(*seconds, strict=True)]


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        offer(Path(folder))
        with notebook() as usual, notebook() as learning:
            cold_s = [run(usual, ADDS.format(number)) for number in range(4)]
            run(usual, HIT)
            plain_s, warm_s, hit_s = in_turn(
                lambda: run(usual, PLAIN),
                lambda: run(usual, ADDS.format(0)),
                lambda: run(usual, HIT),
            )
            first_s = run(learning, IMPORTS)
            time.sleep(5 * first_s)
            second_s = run(learning, IMPORTS)
            time.sleep(PAUSE_S)
            usual_s, learned_s = in_turn(lambda: run(usual, PLAIN), lambda: run(learning, IMPORTS))
    name = f"import {NAMES}"
    print(f"{'a trivial cell':<42} p50 {plain_s * 1e3:7.1f} ms")
    print(
        f"{'--with, installed before':<42} p50 {warm_s * 1e3:7.1f} ms   "
        f"{(warm_s - plain_s) * 1e3:6.1f} ms more   (target 300)"
    )
    print(
        f"{'--with, resolved and installed':<42} p50 {statistics.median(cold_s) * 1e3:7.1f} ms   "
        f"{statistics.median(cold_s) / plain_s:5.1f} × a trivial cell   (no target: the index)"
    )
    print(
        f"{name:<42} 1st {first_s * 1e3:7.1f} ms, 2nd {second_s * 1e3:.1f} ms, later p50 "
        f"{learned_s * 1e3:.1f} ms   {learned_s / usual_s:5.2f} × a trivial cell   (target 1.3)"
    )
    print(
        f"{'--cache, a hit':<42} p50 {hit_s * 1e3:7.1f} ms   {hit_s / plain_s:5.2f} × a trivial "
        f"cell   (target 1.0)"
    )


if __name__ == "__main__":
    main()
