"""Where the time of one trivial `%%mecapy` cell goes, stage by stage, from the clocks of kernel and database on one machine."""

from __future__ import annotations

import itertools
import statistics
import time
from datetime import datetime

from IPython.core.interactiveshell import InteractiveShell

from mecapy_jupyter import bind, cell, wire
from mecapy_jupyter.client import Client

STAGES = (
    ("capture", "what the cell reads is found and pickled"),
    ("request", "HTTP to the gateway, and the statement that inserts the row"),
    ("commit and queue", "the row is on disk, a worker has taken the task"),
    ("run", "hand-over to the waiting child, the cell, its result"),
    ("record", "the outcome is on disk"),
    ("tell", "Redis stream, gateway, HTTP, and the kernel's reader"),
    ("bind", "variables, value and block in the notebook"),
)


def once(shell: InteractiveShell, client: Client, code: str) -> list[float]:
    """Seconds of each stage of one round trip."""
    times = [time.time()]
    prepared = cell.Prepared(shell, cell.Options(), "%%mecapy", code)
    times.append(time.time())
    task = client.send(prepared.request, prepared.values, shell.user_ns, prepared.words, prepared.names.imports).follow(lambda _: None)
    while (event := task.events.get()).type not in wire.FINAL:  # pyright: ignore
        pass
    heard = time.time()
    outcome = wire.Outcome.from_json(event.data)  # pyright: ignore
    bind.into(shell.user_ns, task.open(outcome))
    bound = time.time()
    row = client.gateway.get(f"/tasks/{task.id}")
    created, started, completed = (datetime.fromisoformat(row[f"{name}_at"]).timestamp() for name in ("created", "started", "completed"))
    moments = [*times, created, started, started + outcome.seconds, completed, heard, bound]
    return [after - before for before, after in itertools.pairwise(moments)]


def main(url: str, token: str, count: int = 150) -> list[str]:
    """Runs the round trips; the lines of a Markdown table."""
    shell = InteractiveShell.instance()
    client = Client(url, token)
    rounds = [once(shell, client, "x = 1 + 1") for _ in range(count)][count // 10 :]
    lines = ["| stage | p50 ms | share | what happens |", "|---|---:|---:|---|"]
    middle = [statistics.median(stage) for stage in zip(*rounds, strict=True)]
    for (name, what), seconds in zip(STAGES, middle, strict=True):
        lines.append(f"| {name} | {seconds * 1e3:.2f} | {100 * seconds / sum(middle):.0f} % | {what} |")
    return [*lines, f"| together | {sum(middle) * 1e3:.2f} | | |"]
