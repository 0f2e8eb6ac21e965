"""How numbers and foreign text read."""

from __future__ import annotations

import math

import pytest

from mecapy_jupyter.shared.units import (
    clean,
    clock,
    duration,
    escaped,
    listed,
    number,
    ordinal,
    size,
)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00"),
        (42.9, "0:42"),
        (218, "3:38"),
        (3599.9, "59:59"),
        (3722, "1:02:02"),
        (-5, "0:00"),
        (90_000, "25:00:00"),
    ],
)
def test_clock(seconds: float, text: str) -> None:
    """A clock counts whole seconds, minutes, and hours only when there are any."""
    assert clock(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (1_200_000, "1.2 MB"),
        (9_960_000, "10 MB"),
        (420e6, "420 MB"),
        (999.6e6, "1 GB"),
        (5.1e9, "5.1 GB"),
    ],
)
def test_size(count: float, text: str) -> None:
    """A size has two figures where they matter and the unit that keeps it under a thousand."""
    assert size(count) == text


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (1, "1st"),
        (2, "2nd"),
        (3, "3rd"),
        (4, "4th"),
        (11, "11th"),
        (13, "13th"),
        (21, "21st"),
        (112, "112th"),
    ],
)
def test_ordinal(place: int, text: str) -> None:
    """English endings, the teens among them."""
    assert ordinal(place) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.1, "1 s"), (25.4, "25 s"), (240, "4 min"), (7200, "2 h")]
)
def test_duration(seconds: float, text: str) -> None:
    """A time ahead is said roughly."""
    assert duration(seconds) == text


@pytest.mark.parametrize("value", [None, "7", True, math.nan, math.inf, -1, [], {}, 10**400])
def test_number_refuses(value: object) -> None:
    """What is not a finite number from zero up is no number."""
    assert number(value) is None


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("step\n3\tof 5", "step 3 of 5"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07after", "after"),
        ("a\x00b\x08c\rd", "abc d"),
        ("\u202egnp.exe\u200b", "gnp.exe"),
        ("\ud800x", "x"),
        ("x" * 100, "x" * 79 + "…"),
        ("σ_max = 3.2 MPa", "σ_max = 3.2 MPa"),
    ],
)
def test_clean(text: str, cleaned: str) -> None:
    """Foreign text becomes one bounded line without escapes, controls or direction marks; letters
    of any language stay.
    """
    assert clean(text) == cleaned


def test_escaped_quotes() -> None:
    """Escaped text can stand in an attribute too."""
    assert (
        escaped("""<a href="x" id='y'>&""") == "&lt;a href=&quot;x&quot; id=&#x27;y&#x27;&gt;&amp;"
    )


def test_listed() -> None:
    """A long list of names ends in how many more there are."""
    assert listed([f"v{i}" for i in range(9)], most=2) == "v0, v1 and 7 more"
