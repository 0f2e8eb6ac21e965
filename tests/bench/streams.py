"""How long a printed line takes into the notebook, and what a cell that prints 100 MB costs. Part
of `make bench`; never a test: `tests/worker/test_journal.py` and `tests/magic` check that output is
joined, capped and kept whole.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
from jupyter_client.manager import start_new_kernel

from mecapy_jupyter.stack import embedded

from .trip import run, stack

TARGET_S = 0.05
_LINES = (
    "%%mecapy\nimport time\nfor number in range(200):\n    print(repr(time.time()))\n    "
    "time.sleep(0.05)"
)
_FIRST = "%%mecapy\nimport time\nprint(repr(time.time()))\ntime.sleep(0.2)"
_FLOOD = "%%mecapy\nline = 'x' * 99\nfor _ in range(1_000_000):\n    print(line)"


def lines(kernel: Any, cell: str, count: int) -> list[float]:
    """Seconds from each `print` of a cell to its message at a notebook's front end, both clocks
    being this machine's.
    """
    late: list[float] = []

    def hear(message: Any) -> None:
        if message["msg_type"] == "stream":
            now = time.time()
            late.extend(
                now - float(line)
                for line in message["content"]["text"].split()
                if line.replace(".", "").isdigit()
            )

    reply = kernel.execute_interactive(cell, timeout=120, output_hook=hear)
    assert reply["content"]["status"] == "ok" and len(late) == count, (reply["content"], len(late))
    return late


def show(what: str, late: list[float]) -> None:
    p95 = sorted(late)[int(len(late) * 0.95)]
    print(
        f"{what:<36} p50 {statistics.median(late) * 1e3:5.1f} ms   p95 {p95 * 1e3:5.1f} ms   "
        f"(target {TARGET_S * 1e3:.0f})"
    )


def flood(kernel: Any) -> tuple[float, int]:
    """Seconds of a cell that prints 100 MB, and the characters that reached the front end."""
    heard = 0

    def hear(message: Any) -> None:
        nonlocal heard
        if message["msg_type"] == "stream":
            heard += len(message["content"]["text"])

    began = time.perf_counter()
    reply = kernel.execute_interactive(_FLOOD, timeout=300, output_hook=hear)
    assert reply["content"]["status"] == "ok", reply["content"]
    return time.perf_counter() - began, heard


def redis_bytes(data: Path) -> int:
    """The memory of the embedded stack's Redis now."""
    (pid,) = [
        component["pid"]
        for component in embedded.status(data).as_json()["components"]
        if component["name"] == "redis"
    ]
    return psutil.Process(pid).memory_info().rss


def main() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="mecapy-", ignore_cleanup_errors=True) as folder,
        stack(Path(folder)) as environment,
    ):
        manager, kernel = start_new_kernel(env=environment, extra_arguments=["--log-level=ERROR"])
        try:
            run(kernel, "%load_ext mecapy_jupyter")
            run(kernel, "%%mecapy\nx = 1")
            show("a printed line in the notebook", lines(kernel, _LINES, 200))
            show(
                "the first line of a cell",
                [late for _ in range(60) for late in lines(kernel, _FIRST, 1)],
            )
            before = redis_bytes(Path(folder))
            seconds, heard = flood(kernel)
            grown = (redis_bytes(Path(folder)) - before) / 1e6
            print(
                f"a cell that prints 100 MB            {seconds:5.1f} s   {heard / 1e6:.1f} MB "
                f"shown   Redis grew by {grown:.1f} MB"
            )
            print(
                f"the next cell after it               "
                f"{run(kernel, '%%mecapy' + chr(10) + 'x = 1') * 1e3:5.0f} ms"
            )
        finally:
            kernel.stop_channels()
            manager.shutdown_kernel(now=True)


if __name__ == "__main__":
    main()
