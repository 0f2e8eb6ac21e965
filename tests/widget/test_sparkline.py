"""The small curve covers a run of any length in few points."""

from __future__ import annotations

from mecapy_jupyter.block.sparkline import MOST, NO_PEAKS, bars, shares, with_value


def test_a_long_run_keeps_its_peak_and_its_end() -> None:
    """Ten thousand values stay few points: the peak stands where it was,
    the last value at the end.
    """
    peaks = NO_PEAKS
    for number in range(10_000):
        peaks = with_value(peaks, 9.0 if number == 5000 else 2.0 if number == 9999 else 1.0)
        assert 0 < len(peaks.points) <= MOST
    at = peaks.points.index(9.0)
    assert abs(at / len(peaks.points) - 0.5) < 2 / MOST * 2
    assert peaks.points[-1] == 2.0
    assert (len(peaks.points) - 1) * peaks.each + peaks.filled == 10_000


def test_shares_are_of_the_limit_or_else_of_the_highest() -> None:
    """The curve touches its top at the limit; without one, at its own peak. Nothing is divided by
    zero.
    """
    peaks = with_value(with_value(NO_PEAKS, 2.0), 4.0)
    assert shares(peaks, 8.0) == [0.25, 0.5]
    assert shares(peaks, None) == [0.5, 1.0]
    assert shares(peaks, 3.0) == [0.667, 1.0]
    assert shares(with_value(NO_PEAKS, 0.0), None) == [0.0]


def test_bars_are_few() -> None:
    """However many points there are, at most eight characters,
    each the peak of what it stands for.
    """
    assert bars([]) == ""
    assert bars([0.0, 0.5, 1.0]) == "▁▅█"
    assert len(bars([n / 31 for n in range(32)])) == 8
