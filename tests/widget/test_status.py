"""What `%mecapy` answers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mecapy_jupyter import wire
from mecapy_jupyter.client.overview import Overview
from mecapy_jupyter.commands import task_lines
from mecapy_jupyter.commands.status import status_html, status_text

from .test_state import HOSTILE, Read

AT = datetime(2026, 1, 1, 10, tzinfo=UTC)
STATUS = Overview(
    "http://127.0.0.1:8765",
    "embedded stack",
    wire.Me(
        "7f",
        "ada",
        role="manager",
        organisation="acme",
        tasks={"queued": 3, "running": 2},
        quotas={
            "cpu_hours": wire.Quota(1.5, 40.0),
            "bytes": wire.Quota(2e6, 3e9),
            "running": wire.Quota(2),
        },
    ),
    [wire.WorkerInfo("w1", slots=2, python="3.12.1"), wire.WorkerInfo("w2", slots=2)],
    [
        wire.TaskStatus(
            "6f1c",
            "completed",
            "beam",
            started_at=AT,
            completed_at=AT + timedelta(seconds=218.5),
        ),
        wire.TaskStatus("77aa", "running", "plate", started_at=AT),
    ],
)
TEXT = """\
user     ada (manager, acme)
where    http://127.0.0.1:8765 (embedded stack)
queue    3 queued, 2 running
used     1.5 of 40 CPU-hours this month, 2 MB of 3 GB stored
workers  2 (w1, w2), 4 slots, Python 3.12
last tasks
  ✔  completed  beam   3:38  6f1c
  ▶  running    plate        77aa"""


def test_status_text() -> None:
    """All of it, aligned."""
    assert status_text(STATUS) == TEXT


def test_status_html_says_the_same() -> None:
    """Every word of the text is in the HTML, in the same order."""
    text = " ".join(TEXT.replace("last tasks", "").split()).replace(" ", "")
    assert Read(status_html(STATUS)).text.replace(" ", "") == text


def test_an_older_gateway_says_less() -> None:
    """What is not known is not claimed."""
    shown = status_text(Overview("http://a", "", wire.Me.from_json({"owner": "7f"})))
    assert shown.splitlines() == [
        "user     7f",
        "where    http://a",
        "queue    0 queued, 0 running",
        "workers  none: tasks wait until one starts",
    ]


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_status(text: str) -> None:
    """Names of tasks, users and workers are escaped."""
    status = Overview(
        text,
        text,
        wire.Me(text, text, organisation=text),
        [wire.WorkerInfo(text, python=text)],
        [wire.TaskStatus.from_json({"task_id": text, "status": text, "name": text})],
    )
    assert Read(status_html(status)).tags <= {"div", "table", "tr", "th", "td"}
    assert all(part.isprintable() for part in status_text(status).split("\n"))


def test_a_map_is_one_row_for_each_state() -> None:
    """With the calls of its tasks, from the first start to the last end; other tasks stay alone."""
    chunks = [
        wire.TaskStatus(f"c{n}", "completed", f"solve × {n}", started_at=AT,
                        completed_at=AT + timedelta(seconds=n))
        for n in (30, 20, 10)
    ]  # fmt: skip
    tasks = [wire.TaskStatus("r1", "running", "solve × 5", started_at=AT), *chunks, *chunks[:1]]
    tasks[-1] = wire.TaskStatus("b1", "completed", "a × b")
    shown = status_text(Overview("http://a", "", wire.Me.from_json({"owner": "7f"}), tasks=tasks))
    rows = [line.split("  ") for line in shown.partition("last tasks\n")[2].splitlines()]
    assert [[part.strip() for part in row if part] for row in rows] == [
        ["▶", "running", "solve × 5", "r1"],
        ["✔", "completed", "solve × 60 in 3 tasks", "0:30", "c30"],
        ["✔", "completed", "a × b", "b1"],
    ]


def test_lines_of_all_users() -> None:
    """A map is a line for each user and state; other tasks of one name stay apart."""
    names = [("ann", "f × 3"), ("ann", "f × 4"), ("bob", "f × 5"), ("bob", "g"), ("bob", "g")]
    tasks = [
        wire.TaskOfUser(str(place), name, "queued", user)
        for place, (user, name) in enumerate(names)
    ]
    lines = list(task_lines.together(tasks))
    shown = [(line[0].user, task_lines.name_of(line)) for line in lines]
    assert shown == [("ann", "f × 7 in 2 tasks"), ("bob", "f × 5"), ("bob", "g"), ("bob", "g")]
