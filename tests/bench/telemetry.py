"""What traces and logs by OpenTelemetry cost: processor time of gateway, worker and its processes
for a trivial task, of a stack that sends them and of one that does not, in turn.

Part of `make bench`. Never run as a test.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import psutil

from mecapy_jupyter import Client

from ..operate.collector import receiving
from .trip import stack

TARGET = 0.03
_SETTLED_S = 6.0  # the exporter sends every five seconds


def cpu_s(url: str) -> float:
    """Of our processes of the stack that serves there, those that have ended included."""
    port = int(url.rpartition(":")[2])
    up = next(
        one
        for one in psutil.Process().children()
        for below in one.children(recursive=True)
        if any(at.laddr.port == port for at in below.net_connections() if at.status == "LISTEN")
    )
    ours = [one for one in up.children(recursive=True) if "mecapy" in " ".join(one.cmdline()[:4])]
    return sum(sum(one.cpu_times()[:4]) for one in ours)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("-n", type=int, default=200, help="tasks in each round")
    arguments.add_argument("--rounds", type=int, default=5)
    options = arguments.parse_known_args()[0]
    took_ms: dict[str, list[float]] = {"off": [], "on": []}
    with ExitStack() as opened:
        received = opened.enter_context(receiving())
        clients = dict[str, tuple[str, Client]]()
        for kind, endpoint in (("off", ""), ("on", received.url)):
            folder = Path(opened.enter_context(tempfile.TemporaryDirectory()))
            with patch.dict(os.environ, MECAPY_OTLP_ENDPOINT=endpoint):
                environment = opened.enter_context(stack(folder))
            url, token = environment["MECAPY_URL"], environment["MECAPY_TOKEN"]
            clients[kind] = url, opened.enter_context(Client(url, token))
            trips(clients[kind][1], options.n)
        for _ in range(options.rounds):
            for kind, (url, client) in clients.items():
                before_s = cpu_s(url)
                trips(client, options.n)
                time.sleep(_SETTLED_S)
                took_ms[kind].append(1e3 * (cpu_s(url) - before_s) / options.n)
        assert len(received.spans) > options.n
    off, on = (statistics.median(took_ms[kind]) for kind in ("off", "on"))
    print(f"CPU of a task: {off:.2f} ms; with traces and logs {on:.2f} ms   rounds {took_ms}")
    print(f"traces and logs cost {100 * (on / off - 1):.1f} % of CPU   (target {100 * TARGET:.0f})")


def trips(client: Client, count: int) -> None:
    for _ in range(count):
        client.run("1 + 1").result(240)


if __name__ == "__main__":
    main()
