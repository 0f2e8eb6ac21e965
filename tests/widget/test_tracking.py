"""Loops that run here: how open bars make one, how few words leave, and the line that stays."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from mecapy_jupyter import progress, track
from mecapy_jupyter.travel import loop_progress

Said = list[tuple[float | None, str]]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Said:
    """Everything that would be shown."""
    heard: Said = []
    monkeypatch.setattr(
        loop_progress, "sink", lambda fraction, text: heard.append((fraction, text))
    )
    monkeypatch.setattr(loop_progress, "bars", loop_progress.Bars())
    monkeypatch.setattr(loop_progress, "_LOOK_EVERY_S", -1.0)
    return heard


def test_a_tracked_loop_yields_the_same_and_says_how_far_it_is(said: Said) -> None:
    """Each item once, in order; the fraction from 0 to 1; at the end that nothing is under way."""
    assert list(track("abcd", "letters")) == ["a", "b", "c", "d"]
    assert [fraction for fraction, _ in said] == [0.0, 0.25, 0.5, 0.75, 1.0, None]
    assert said[2][1] == "letters 2/4" and said[-1] == (None, "")


def test_an_unknown_total_promises_nothing(said: Said) -> None:
    """A generator has no length: how many are done, and no fraction; `total` gives it one."""
    assert sum(track((n for n in range(3)), "items")) == 3
    assert {fraction for fraction, _ in said} == {None} and said[3][1] == "items 3"
    said.clear()
    assert sum(track((n for n in range(3)), total=3)) == 3
    assert said[-2] == (1.0, "3/3")


def test_more_than_the_total_is_not_more_than_all(said: Said) -> None:
    """A total that was too small ends at 1."""
    assert len(list(track(range(5), total=2))) == 5
    assert max(fraction for fraction, _ in said if fraction is not None) == 1.0


@pytest.mark.parametrize("leave", ["break", "raise", "close"])
def test_a_loop_left_early_leaves_no_bar(said: Said, leave: str) -> None:
    """Broken off, failed or closed: the bar goes."""
    steps = track(range(10))
    try:
        for number in steps:
            if number == 3 and leave == "raise":
                raise ZeroDivisionError
            if number == 3:
                break
    except ZeroDivisionError:
        pass
    steps.close()  # pyright: ignore[reportAttributeAccessIssue]  # what the loop's own end does where nothing else holds it
    assert said[-1] == (None, "")


def test_nested_bars_are_one_that_never_goes_back(said: Said) -> None:
    """The inner loop counts as a part of the outer's step; both have their words."""
    for _ in track(range(2), "a"):
        for _ in track(range(4), "b"):
            pass
    fractions = [fraction for fraction, _ in said if fraction is not None]
    assert fractions == sorted(fractions) and {0.125, 0.25, 0.625, 1.0} <= set(fractions)
    assert (0.125, "a 0/2 · b 1/4") in said


def test_a_loop_after_another_begins_anew(said: Said) -> None:
    """What is never back holds within one loop, not from one to the next."""
    for _ in range(2):
        list(track(range(2)))
    assert [fraction for fraction, _ in said] == [0.0, 0.5, 1.0, None] * 2


def test_the_latest_is_never_lost() -> None:
    """Of many at once the first leaves at once and the last by itself a little later; in between
    nothing.
    """
    sent, last = list[str](), threading.Event()

    def send(_: float | None, text: str) -> None:
        sent.append(text)
        if text == "999":
            last.set()

    began_s = time.monotonic()
    latest = loop_progress.Latest(send, every_s=0.5)
    for number in range(1000):
        latest.give(None, str(number))
    assert sent[0] == "0"
    assert last.wait(120)
    assert len(sent) <= 3 + (time.monotonic() - began_s) / 0.5


SCRIPT = """
from mecapy_jupyter import progress, track
import time
from mecapy_jupyter.block import local_bar as localbar
localbar.AFTER_S = 0.0
{body}
print("end")
"""
SCRIPTS = {
    "for load in track(range(3), 'loads'): time.sleep(0.01)": "✔ 0:00 · loads 3/3\n",
    "for load in track(range(3), 'loads'): pass": "✔ 0:00 · loads 3/3\n",
    "progress(0.5, 'half'); progress(1, 'all')": "✔ 0:00 · all\n",
    "progress(0.5, 'half')": "✔ 0:00 · half\n",
    "pass": "",
}


@pytest.mark.parametrize(("body", "line"), SCRIPTS.items(), ids=SCRIPTS)
def test_a_script_leaves_one_line(body: str, line: str) -> None:
    """Without a notebook and without a terminal: the last line on stderr, and nothing else."""
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(body=body)],
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    said = re.sub(r"\d+:\d\d", "0:00", ended.stderr)  # however slow the machine
    assert (ended.stdout, said) == ("end\n", line)


def test_progress_takes_what_a_loop_has(said: Said) -> None:
    """Anything that can be a float, within bounds; no fraction at all; text that is short."""
    for odd in (7, -1, float("nan"), None):
        progress(odd, "x" * 1000)
    assert [fraction for fraction, _ in said] == [1.0, 0.0, None, None]
    assert {len(text) for _, text in said} == {200}


def test_the_iterator_is_not_read_ahead(said: Said) -> None:
    """An item is taken when the loop asks for it."""
    taken = list[int]()

    def items() -> Iterator[int]:
        for number in range(3):
            taken.append(number)
            yield number

    steps = track(items())
    assert (next(steps), taken) == (0, [0])
    assert (next(steps), taken) == (1, [0, 1])
