"""What is written to a descriptor names the notebook's folder, wherever the bytes were divided."""

from __future__ import annotations

from pathlib import Path

import pytest

from mecapy_worker.pool.printed_text import PrintedText
from mecapy_worker.shared.messages import HomeMessage

FOLDER, HOME = Path("/task/work"), "/notebooks/bäume"


@pytest.mark.parametrize("place", ["", "/below"])
def test_wherever_the_bytes_are_divided(place: str) -> None:
    """Nothing is lost, and nothing twice."""
    task = f"{FOLDER}{place}"
    written = f"ä {task}/a {task[:-3]} / {task}".encode()
    for at in range(len(written) + 1):
        printed = PrintedText(FOLDER)
        printed.lead_home(HomeMessage(task, HOME))
        text = printed.read(written[:at]) + printed.read(written[at:]) + printed.rest()
        assert text == f"ä {HOME}/a {task[:-3]} / {HOME}", at
        assert printed.rest() == ""


def test_what_is_no_beginning_of_the_path_does_not_wait() -> None:
    printed = PrintedText(FOLDER)
    printed.lead_home(HomeMessage(str(FOLDER), HOME))
    assert printed.read(b"50 %\r") == "50 %\r" and printed.read(b"/tmp") == "/tmp"


@pytest.mark.parametrize(
    "folder, home",
    [("a", "b" * 4000), ("", "b"), (str(FOLDER), "b" * 400), (f"{FOLDER}/" + "a" * 5000, "b")],
)
def test_a_child_cannot_make_much_of_little(folder: str, home: str) -> None:
    printed = PrintedText(FOLDER)
    printed.lead_home(HomeMessage(folder, home))
    text = f"aaaa {FOLDER}"
    assert printed.read(text.encode()) == text
