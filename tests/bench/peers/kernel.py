"""One peer, measured from a real kernel: `python -m tests.bench.peers.kernel NAME` in the
environment that has the peer.

The trivial round trip is a cell, from sending it until the kernel is idle again, so that every peer
has the kernel's own part in it. The last line printed is the figures as JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

_WARM, _TRIPS = 20, 200
_TRIPS_S = 40.0  # a peer that takes so long for its trips has fewer of them
_CELL_S = 110


def run(kernel: BlockingKernelClient, code: str) -> str:
    """What the cell printed."""
    printed: list[str] = []

    def hear(message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream" and message["content"]["name"] == "stdout":
            printed.append(message["content"]["text"])

    content = kernel.execute_interactive(code, timeout=_CELL_S, output_hook=hear)["content"]
    if content["status"] != "ok":
        raise SystemExit(f"{content.get('ename')}: {content.get('evalue')}")
    return "".join(printed)


def trips(kernel: BlockingKernelClient, cell: str) -> list[float]:
    taken: list[float] = []
    until = time.monotonic() + _TRIPS_S
    for number in range(_WARM + _TRIPS):
        began = time.perf_counter()
        run(kernel, cell)
        if number >= _WARM or time.monotonic() > until:
            taken.append(time.perf_counter() - began)
        if time.monotonic() > until:
            break
    return taken


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("name")
    arguments.add_argument("--calls", type=int, default=5000)
    arguments.add_argument("--trips-only", action="store_true")
    asked = arguments.parse_args()
    manager, kernel = start_new_kernel(extra_arguments=["--log-level=ERROR"])
    try:
        run(kernel, f"from tests.bench.peers import inside\npeer = inside.opened({asked.name!r})")
        try:
            cell = run(kernel, "print(peer.cell)").strip("\n")
            found: dict[str, Any] = {"trips_s": trips(kernel, cell)}
            if not asked.trips_only:
                found |= json.loads(
                    run(kernel, f"print(inside.figures(peer, {asked.calls}))").splitlines()[-1]
                )
        finally:
            run(kernel, "inside.close()")
    finally:
        kernel.stop_channels()
        manager.shutdown_kernel(now=True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
