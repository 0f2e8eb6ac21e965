"""Where the time of a trivial `%%mecapy` cell goes, from the front end and back, by the clocks of
all processes on one machine.

`watch` and `noted` run inside the kernel, `table` beside it. Called by `trip`, of whose own round
trips this is.
"""

from __future__ import annotations

import itertools
import json
import statistics
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from IPython.core.getipython import get_ipython

from mecapy_jupyter.cells import cell
from mecapy_jupyter.client.client import Client
from mecapy_jupyter.client.http import Gateway

STAGES = (
    ("to the magic", "as with any cell"),
    ("capture", "variables are found, checked and pickled"),
    ("request", "HTTP to the gateway"),
    ("commit and queue", "until a worker takes the task"),
    ("run", "the child gets the task, runs it, returns the result"),
    ("record", "the worker, until it writes the outcome"),
    ("tell", "commit, Redis, gateway, HTTP, kernel"),
    ("bind", "variables, last value and block"),
    ("to the front end", "as with any cell"),
)

_noted: list[list[Any]] = []


def watch() -> None:
    """From now on, note when each `%%mecapy` of this kernel begins, asks the gateway, hears of its
    end, and ends.
    """
    shell: Any = get_ipython()
    magics = shell.magics_manager.magics["cell"]
    magic, submit, until_final = magics["mecapy"], Gateway.submit, cell.until_final

    def whole(line: str, body: str) -> None:
        _noted.append([time.time()])
        magic(line, body)
        _noted[-1].append(time.time())

    def asked(*given: Any) -> Any:
        _noted[-1].append(time.time())
        return submit(*given)

    def heard(task: Any, *given: Any) -> Any:
        outcome = until_final(task, *given)
        _noted[-1] += [time.time(), outcome.seconds, task.id]
        return outcome

    magics["mecapy"], Gateway.submit, cell.until_final = whole, asked, heard


def noted() -> str:
    """All of it, for `table`."""
    return json.dumps(_noted)


def table(client: Client, trips: Sequence[tuple[float, float]], said: str) -> list[str]:
    """The lines of a Markdown table. `trips`: when each cell was sent and the kernel idle again;
    `said`: the kernel's notes of them.
    """
    rounds = sorted(
        (
            _stages(client, *trip, *notes)
            for trip, notes in zip(trips, json.loads(said), strict=False)
        ),
        key=sum,
    )
    # Medians of stages do not add up to the median of the whole; the means of the trips around that
    # median do.
    middle = [
        statistics.mean(stage)
        for stage in zip(*rounds[2 * len(rounds) // 5 : 3 * len(rounds) // 5 + 1], strict=True)
    ]
    lines = ["| stage | ms | share | what happens |", "|---|---:|---:|---|"]
    for (name, what), seconds in zip(STAGES, middle, strict=True):
        lines.append(
            f"| {name} | {seconds * 1e3:.2f} | {100 * seconds / sum(middle):.0f} % | {what} |"
        )
    whole = statistics.median(map(sum, rounds))
    return [
        *lines,
        f"| total | {sum(middle) * 1e3:.2f} | | means of the middle fifth of the trips; "
        f"p50 {whole * 1e3:.2f} |",
    ]


def _stages(
    client: Client,
    sent: float,
    idle: float,
    begun: float,
    asked: float,
    heard: float,
    run_s: float,
    task_id: str,
    ended: float,
) -> list[float]:
    """Seconds of each stage of one trip."""
    row = client.gateway.get(f"/tasks/{task_id}")
    created, started, completed = (
        datetime.fromisoformat(row[f"{name}_at"]).timestamp()
        for name in ("created", "started", "completed")
    )
    moments = [sent, begun, asked, created, started, started + run_s, completed, heard, ended, idle]
    return [after - before for before, after in itertools.pairwise(moments)]
