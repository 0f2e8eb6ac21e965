"""What traces and logs by OpenTelemetry cost: processor time of what gateway and worker send for a
trivial task, as a share of all that a task costs them and their processes.

The two are measured apart, because two stacks differ by more than this from one round to the next.
Part of `make bench`. Never run as a test.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from mecapy_jupyter import Client

from ..operate.collector import receiving
from .trip import stack

TARGET, OFF_TARGET = 0.03, 0.002
# As a gateway and a worker record a task: eleven spans and six lines.
SENDER = """
import sys, time, uuid
from mecapy_backend.shared import telemetry
telemetry.configure(sys.argv[1], "bench")
def task():
    task_id = str(uuid.uuid4())
    for name, stages in (("submit", 2), ("attempt 1", 6)):
        if watch := telemetry.stopwatch():
            for stage in range(stages):
                watch.stage("stage")
            watch.record(task_id, name, {"task": task_id, "worker": "w"})
    telemetry.record(task_id, telemetry.Span("queue", time.time_ns(), time.time_ns()))
    for event in range(6):
        telemetry.log({"event": "started", "level": "info", "task": task_id, "attempt": 1})
count = int(sys.argv[2])
for measured in (False, True):
    began = time.process_time()
    for _ in range(count):
        task()
        time.sleep(0.002)
    if measured:
        telemetry.close()
        took_s = time.process_time() - began
        began = time.process_time()
        for _ in range(count):
            time.sleep(0.002)
        print(1e3 * (took_s - (time.process_time() - began)) / count)
"""


def cpu_s(url: str) -> float:
    """CPU time of the processes of the stack that serves there, those that have ended included."""
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
    arguments.add_argument("-n", type=int, default=500, help="tasks")
    count = arguments.parse_known_args()[0].n
    with tempfile.TemporaryDirectory() as folder, stack(Path(folder)) as environment:
        url, token = environment["MECAPY_URL"], environment["MECAPY_TOKEN"]
        with Client(url, token) as client:
            trips(client, 20)
            before_s = cpu_s(url)
            trips(client, count)
            time.sleep(1)  # the last children end
            task_ms = 1e3 * (cpu_s(url) - before_s) / count
    with receiving() as received:
        sent_ms = sender_ms(received.url, 4 * count)
        assert received.spans and received.logs
    off_ms = sender_ms("", 4 * count)
    print(f"CPU of a task: {task_ms:.2f} ms; of its traces and logs: {sent_ms:.2f} ms")
    for name, took_ms, target in (("on", sent_ms, TARGET), ("off", off_ms, OFF_TARGET)):
        share = f"{100 * took_ms / task_ms:.2f} % of CPU"
        print(f"traces and logs, {name:<3}   {share}   (target {100 * target:g})")


def sender_ms(url: str, count: int) -> float:
    """CPU time of what sends as a gateway and a worker do, for each task; "": telemetry is off."""
    argv = (sys.executable, "-c", SENDER, url, str(count))
    return float(subprocess.run(argv, capture_output=True, check=True, text=True).stdout)


def trips(client: Client, count: int) -> None:
    for _ in range(count):
        client.run("1 + 1").result(240)


if __name__ == "__main__":
    main()
