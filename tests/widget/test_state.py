"""What the block says for which events: a table of lines, and the same words in HTML and in the
widget's data.
"""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest

from mecapy_jupyter import wire
from mecapy_jupyter.block.line import html, line, view
from mecapy_jupyter.block.state import BlockState, advance, finished

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "</span></div><iframe src=javascript:alert(1)>",
    "&lt;b&gt;",
    "\x1b]8;;http://evil\x07link\x1b]8;;\x07",
    "a\u202eb\x00c",
    "$$\\require{html}\\href{javascript:alert(1)}{x}$$",
]


def event(kind: str, **data: Any) -> wire.Event:
    return wire.Event("1-0", kind, data)


def after(*events: wire.Event, state: BlockState | None = None) -> BlockState:
    state = state or BlockState("beam")
    for each in events:
        state = advance(state, each, 100.0)
    return state


LINES = [
    ([], "◔ sending · sent 1.2 MB, reused 420 MB"),
    (
        [event("queued", position=3, of=7, eta_s=25)],
        "◔ queued · 3rd of 7 · starts in ~25 s · sent 1.2 MB, reused 420 MB",
    ),
    ([event("queued", position=1)], "◔ queued · next in line · sent 1.2 MB, reused 420 MB"),
    ([event("queued", position=4)], "◔ queued · 4th in line · sent 1.2 MB, reused 420 MB"),
    (
        [event("queued", waits_for="mesh, load and 2 more")],
        "◔ waits for mesh, load and 2 more · sent 1.2 MB, reused 420 MB",
    ),
    ([event("queued")], "◔ queued · sent 1.2 MB, reused 420 MB"),
    ([event("started", worker="w2", attempt=1)], "▶ running on w2 · 0:42"),
    (
        [event("started", worker="w2"), event("usage", cpu_percent=780.2, memory_bytes=5.1e9)],
        "▶ running on w2 · 0:42 · 780 % cpu · 5.1 GB",
    ),
    (
        [event("started", worker="w2"), event("progress", fraction=0.62, text="step 31")],
        "▶ running on w2 · 0:42 · 62 % · step 31",
    ),
    (
        [
            event("started", worker="w2", memory_limit_bytes=8e9),
            event("usage", cpu_percent=780, memory_bytes=5.1e9),
        ],
        "▶ running on w2 · 0:42 · 780 % cpu · 5.1 of 8 GB",
    ),
    (
        [
            event("started", worker="w2", memory_limit_bytes=8e9),
            *(event("usage", memory_bytes=share * 1e9) for share in (1.9, 3, 5, 5.1)),
        ],
        "▶ running on w2 · 0:42 · 5.1 of 8 GB ▂▄▆▆",
    ),
    (
        [event("started", worker="w2", memory_limit_bytes=4e9), event("usage", memory_bytes=58e6)],
        "▶ running on w2 · 0:42 · 58 MB of 4 GB",
    ),
    ([event("started", worker="w2", attempt=2)], "▶ running on w2 · 2nd attempt · 0:42"),
    (
        [event("started", worker="w2", attempt=1), event("queued")],
        "◔ queued · its worker was lost, 2nd attempt · sent 1.2 MB, reused 420 MB",
    ),
    (
        [event("started", worker="w2"), event("completed", state="completed", seconds=218.0)],
        "▶ bringing results home · 3:38",
    ),
    (
        [event("started", worker="w2", timeout_s=50)],
        "▶ running on w2 · 0:42 of 0:50 · stops at 0:50, its --timeout",
    ),
    (
        [event("started", worker="w2", timeout_s=50), event("limit", timeout_s=650)],
        "▶ running on w2 · 0:42 of 10:50",
    ),
    (
        [event("started", worker="w2"), event("stdout", text="x"), event("from the future")],
        "▶ running on w2 · 0:42",
    ),
]


@pytest.mark.parametrize(("events", "text"), LINES, ids=[text for _, text in LINES])
def test_lines(events: list[wire.Event], text: str) -> None:
    """After these events, 42 s later, the block reads so."""
    assert (
        line(
            after(
                *events, state=BlockState("beam", sent_bytes=1_200_000, reused_bytes=420_000_000)
            ),
            142.0,
        )
        == text
    )


ENDS = [
    (
        wire.Outcome("completed", seconds=218.0),
        ["T (12 MB)", "residuals changed"],
        "✔ 3:38 · T (12 MB), residuals changed",
    ),
    (wire.Outcome("completed", seconds=218.0), [], "✔ 3:38"),
    (
        wire.Outcome(
            "failed", error=wire.ErrorInfo("cell", "ZeroDivisionError", "division by zero", 7)
        ),
        ["T"],
        "✖ line 7 · ZeroDivisionError · T came back",
    ),
    (
        wire.Outcome("failed", error=wire.ErrorInfo("timeout", "TaskTimeout", "…")),
        [],
        "✖ TaskTimeout",
    ),
    (wire.Outcome("failed"), [], "✖ failed"),
    (wire.Outcome("cancelled"), [], "■ cancelled · 0:42"),
    (
        wire.Outcome("cancelled", stopped_s=0.32),
        ["T"],
        "■ cancelled · 0:42 · stopped after 0.3 s · T came back",
    ),
]


@pytest.mark.parametrize(("outcome", "came_back", "text"), ENDS, ids=[text for *_, text in ENDS])
def test_ends(outcome: wire.Outcome, came_back: list[str], text: str) -> None:
    """A task that ran for 42 s on this clock ends with this line; the worker's own measure of its
    time goes first.
    """
    state = finished(after(event("started", worker="w2")), outcome, came_back, 142.0)
    assert line(state, 500.0) == text


class Read(HTMLParser):
    """The text of some HTML, and every element and attribute in it."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.text, self.tags, self.attributes = "", set[str](), dict[str, str | None]()
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= dict(attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize(("events", "text"), LINES, ids=[text for _, text in LINES])
def test_html_says_what_the_line_says(events: list[wire.Event], text: str) -> None:
    """HTML and text have the same words."""
    read = Read(
        html(
            after(
                *events, state=BlockState("beam", sent_bytes=1_200_000, reused_bytes=420_000_000)
            ),
            142.0,
        )
    )
    assert read.text.replace("\ufe0e", "") == text


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_text(text: str) -> None:
    """Whatever names, workers, notes and errors hold, the HTML has our two elements and the line is
    one printable line.
    """
    running = after(
        event("started", worker=text),
        event("progress", fraction=0.5, text=text),
        state=BlockState(text),
    )
    ended = finished(
        running, wire.Outcome("failed", error=wire.ErrorInfo("cell", text, text, 7)), [text], 142.0
    )
    for state in (running, ended):
        read = Read(html(state, 142.0))
        assert read.tags == {"div", "span"}
        assert set(read.attributes) == {"role", "aria-label", "aria-hidden", "style"}
        assert line(state, 142.0).isprintable()


@pytest.mark.parametrize(
    "junk", [None, "NaN", float("nan"), float("inf"), -1, True, [], {"a": 1}, 10**400, "<b>"]
)
def test_junk_numbers_are_left_out(junk: Any) -> None:
    """Numbers that are none are not shown, and never an error."""
    state = after(event("queued", position=junk, of=junk, eta_s=junk))
    assert line(state, 142.0) == "◔ queued"
    started = event("started", worker="w2", attempt=junk)
    state = after(
        started,
        event("usage", cpu_percent=junk, memory_bytes=junk),
        event("progress", fraction=junk),
    )
    assert line(state, 142.0) == "▶ running on w2 · 0:42"


@pytest.mark.parametrize(
    ("expected_s", "text"),
    [
        (220.0, "0:42 of ~3:40"),
        (40.0, "0:42 of ~0:40"),
        (30.0, "0:42 of ~0:45, usually ~0:30"),
        (0.2, "0:42 of ~0:57, usually ~0:01"),
        (None, "0:42"),
    ],
)
def test_the_clock_knows_how_long_it_took_the_last_times(
    expected_s: float | None, text: str
) -> None:
    """The time that passed stands beside the time it takes; once that is over,
    beside a longer one.
    """
    assert (
        line(after(event("started", worker="w2"), state=BlockState(expected_s=expected_s)), 142.0)
        == f"▶ running on w2 · {text}"
    )


@pytest.mark.parametrize(
    ("now_s", "text"),
    [
        (230.0, "2:10 of 5:00"),
        (339.0, "3:59 of 5:00"),
        (340.0, "4:00 of 5:00 · stops at 5:00, its --timeout"),
    ],
)
def test_the_limit_stands_beside_the_time(now_s: float, text: str) -> None:
    """A cell without a history shows its limit; from 80 % of it there is a warning."""
    state = after(event("started", worker="w2", timeout_s=300.0))
    assert line(state, now_s) == f"▶ running on w2 · {text}"


def test_one_host_has_no_names() -> None:
    """Where all workers are on one host, none is named; that one was lost is said."""
    state = after(event("started", worker="w2"), state=BlockState(one_host=True))
    assert line(state, 142.0) == "▶ running · 0:42"
    assert "its worker was lost" in line(after(event("queued"), state=state), 142.0)


def test_a_fraction_over_one_is_one() -> None:
    """The bar never grows past its end."""
    assert after(event("progress", fraction=7)).fraction == 1.0


def test_view_is_the_same_words_and_a_clock() -> None:
    """The widget gets the parts of the line, and the seconds from which its clock goes on."""
    shown = view(after(event("started", worker="w2"), event("progress", fraction=0.25)), 142.0)
    assert shown == {
        "name": "beam",
        "task_id": "",
        "phase": "running",
        "parts": [["phase", "running on w2"], ["clock", "0:42"], ["progress", "25 %"]],
        "elapsed_s": 42.0,
        "expected": "",
        "fraction": 0.25,
        "curve": [],
    }


def test_a_retry_starts_its_clock_and_its_bar_anew() -> None:
    """What the first attempt said of its progress is not said of the second."""
    first = after(
        event("started", worker="w1", attempt=1), event("progress", fraction=0.9, text="step 9")
    )
    second = advance(first, event("started", worker="w2", attempt=2), 130.0)
    assert line(second, 142.0) == "▶ running on w2 · 2nd attempt · 0:12"
