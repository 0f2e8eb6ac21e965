"""What `%mecapy` answers."""

from __future__ import annotations

import pytest

from mecapy_jupyter.commands.status import status_html, status_text

from .test_state import HOSTILE, Read

STATUS = {
    "user": "ada",
    "url": "http://127.0.0.1:8765",
    "source": "embedded stack",
    "queue": {"queued": 3, "running": 2, "eta_s": 25},
    "workers": [{"id": "w1", "slots": 2, "busy": 1}, {"id": "w2", "slots": 2, "busy": 1}],
    "tasks": [
        {"task_id": "6f1c", "status": "completed", "name": "beam", "seconds": 218.0},
        {"task_id": "77aa", "status": "running", "name": "plate"},
    ],
}
TEXT = """\
user     ada
where    http://127.0.0.1:8765 (embedded stack)
queue    3 queued, 2 running, next starts in ~25 s
workers  2 (w1, w2), 2 of 4 slots busy
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


def test_status_as_the_gateway_says_it() -> None:
    """Times instead of seconds, and slots without how many are busy, are read too; what is not
    known is not claimed.
    """
    times = {
        "started_at": "2026-01-01T10:00:00+00:00",
        "completed_at": "2026-01-01T10:03:38.5+00:00",
    }
    tasks = [{"task_id": "6f1c", "status": "completed", "name": "beam"} | times]
    shown = status_text({"workers": [{"id": "w1", "slots": 2}], "tasks": tasks})
    assert shown == "workers  1 (w1), 2 slots\nlast tasks\n  ✔  completed  beam  3:38  6f1c"


@pytest.mark.parametrize(
    "status",
    [{}, {"workers": None, "tasks": "no", "queue": 7}, {"tasks": [None, 3], "workers": ["x"]}],
)
def test_status_of_odd_answers(status: dict[str, object]) -> None:
    """What a gateway of another version leaves out or says otherwise is no error."""
    assert isinstance(status_text(status), str)
    assert status_html(status).startswith("<div")


def test_no_worker_is_said() -> None:
    """Without a worker the user learns why nothing starts."""
    assert status_text({"workers": []}) == "workers  none: nothing runs until one comes"


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_status(text: str) -> None:
    """Names of tasks, users and workers are escaped."""
    status = {
        "user": text,
        "url": text,
        "source": text,
        "workers": [{"id": text}],
        "tasks": [{"task_id": text, "status": text, "name": text}],
    }
    assert Read(status_html(status)).tags <= {"div", "table", "tr", "th", "td"}
    assert all(part.isprintable() for part in status_text(status).split("\n"))
