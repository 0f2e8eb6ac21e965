"""What a cell costs beyond its own time, by how much it changes: figures, objects, dicts and linked
objects, each size twice the one before; and the peak of memory for a large array.

In a real kernel. Part of `make bench`; never run as a test.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

from .trip import run, stack

MOST_RATIO = 2.3


@dataclass(frozen=True, slots=True)
class Case:
    """`made` and `cell` with `N` as the size; `holds`: what is true afterwards."""

    name: str
    sizes: tuple[int, ...]
    target_s: float | None
    made: str
    cell: str
    holds: str
    doubles: bool = True


CASES = (
    Case(
        "figure of N×N axes, locators set",
        (2, 4, 6),
        1.0,
        "import matplotlib.pyplot as plt\nfrom matplotlib.ticker import MaxNLocator\n"
        "fig, axes = plt.subplots(N, N)\nfor a in axes.flat: a.plot([1, 2, 3])\nplt.close(fig)",
        "for a in axes.flat:\n    a.xaxis.set_major_locator(MaxNLocator(3))\n"
        "    a.yaxis.set_major_locator(MaxNLocator(4))",
        "type(axes[0, 0].xaxis.get_major_locator()) is MaxNLocator",
        doubles=False,
    ),
    Case(
        "N objects with slots, all changed",
        (75_000, 150_000, 300_000),
        2.5,
        "class Point:\n    __slots__ = 'x', 'y', 'n'\n    def __init__(self, n):\n        self.x, "
        "self.y, self.n = float(n), 2.0, n\npoints = [Point(n) for n in range(N)]",
        "for point in points: point.x += 1.0",
        "points[-1].x == N",
    ),
    Case(
        "a list of N small dicts, all changed",
        (25_000, 50_000, 100_000),
        0.6,
        "rows = [{'a': n, 'b': float(n), 'c': str(n)} for n in range(N)]",
        "for row in rows: row['b'] += 1.0",
        "rows[-1]['b'] == N",
    ),
    Case(
        "N linked objects, all changed",
        (25_000, 50_000, 100_000),
        None,
        "class Node:\n    def __init__(self, n): self.n, self.next = n, None\nnodes = [Node(n) for "
        "n in range(N)]\nfor one, other in zip(nodes, nodes[1:]): one.next = other",
        "for node in nodes: node.n += 1",
        "nodes[-1].n == N and nodes[0].next is nodes[1]",
    ),
)

PEAK = (
    "import re, pathlib\n"
    "def kib(name): return int(re.search(name + r':\\s+(\\d+)', "
    "pathlib.Path('/proc/self/status').read_text())[1])\n"
)
ARRAY_CELLS = {
    "an array of 256 MiB, read": "s = float(x.sum())",
    "an array of 256 MiB, changed in place": "x += 1.0",
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--rounds", type=int, default=3)
    asked, _ = arguments.parse_known_args()
    with tempfile.TemporaryDirectory() as folder, stack(Path(folder)) as environment:
        manager, kernel = start_new_kernel(env=environment, extra_arguments=["--log-level=ERROR"])
        try:
            run(kernel, "%load_ext mecapy_jupyter\n%matplotlib agg\nimport numpy as np")
            run(kernel, "%%mecapy --quiet\nready = 1")
            for case in CASES:
                scaled(kernel, case, asked.rounds)
            for name, cell in ARRAY_CELLS.items():
                peaks(kernel, name, cell)
        finally:
            kernel.stop_channels()
            manager.shutdown_kernel(now=True)


def scaled(kernel: BlockingKernelClient, case: Case, rounds: int) -> None:
    """One line for each size: the best of the rounds, which a busy machine disturbs least."""
    before = 0.0
    for size in case.sizes:
        found: list[tuple[float, float]] = []
        for _ in range(rounds):
            run(kernel, f"N = {size}\n{case.made}")
            here_s = run(kernel, case.cell)
            run(kernel, f"{case.made}\nbusy = __import__('time').process_time")
            busy_s = float(said(kernel, "busy()"))
            there_s = run(kernel, f"%%mecapy --quiet\n{case.cell}")
            found.append((there_s - here_s, float(said(kernel, "busy()")) - busy_s))
            assert said(kernel, case.holds) == "True", case.name
        best_s, busy_s = min(found)
        target = f" (target {case.target_s} s)" if case.target_s and size == case.sizes[-1] else ""
        ratio = f" × {best_s / before:4.2f}" if before else ""
        limit = f" (target {MOST_RATIO})" if before and case.doubles else ""
        print(
            f"{case.name:<37} {size:>7,} {best_s * 1e3:7.0f} ms, the kernel busy for "
            f"{busy_s * 1e3:5.0f} ms {ratio}{limit}{target}"
        )
        before = best_s


def peaks(kernel: BlockingKernelClient, name: str, cell: str) -> None:
    """How far memory grew at most, as a part of the array, in the child and in the kernel."""
    run(kernel, f"{PEAK}x = np.arange(32.0 * 2**20)\nsize = x.nbytes / 1024")
    run(kernel, "pathlib.Path('/proc/self/clear_refs').write_text('5')\nhere = kib('VmRSS')")
    cell = f"there = kib('VmRSS')\n{cell}\nchild = (kib('VmHWM') - there) / size"
    run(kernel, f"%%mecapy --quiet\n{cell}")
    in_child, more = (float(said(kernel, a)) for a in ("child", "(kib('VmHWM') - here) / size"))
    print(
        f"{name:<38} the child has {in_child:4.2f} × its size, the kernel {1 + more:4.2f} ×"
        "   (target 1.3)"
    )


def said(kernel: BlockingKernelClient, expression: str) -> str:
    found: list[str] = []
    run(kernel, f"print({expression})", found.append)
    return "".join(found).strip()


if __name__ == "__main__":
    main()
