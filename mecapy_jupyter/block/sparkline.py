"""The course of a quantity over a whole run, in few points: the small curve at the end of the live
block's line. Plain functions, standard library only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

MOST = 32  # an even number, because pairs become one
_BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class Peaks:
    """The highest values so far, the oldest first. Each point stands for `each` values, the last
    one for `filled` so far.
    """

    points: tuple[float, ...] = ()
    each: int = 1
    filled: int = 0


NO_PEAKS = Peaks()


def with_value(peaks: Peaks, value: float) -> Peaks:
    """One value more. When there are too many points, pairs become one, so that the curve always
    covers the whole run.
    """
    if peaks.points and peaks.filled < peaks.each:
        return Peaks(
            (*peaks.points[:-1], max(peaks.points[-1], value)), peaks.each, peaks.filled + 1
        )
    points = (*peaks.points, value)
    if len(points) <= MOST:
        return Peaks(points, peaks.each, 1)
    pairs = tuple(max(points[at : at + 2]) for at in range(0, len(points), 2))
    return Peaks(pairs, 2 * peaks.each, 1)  # the last of an odd number stands alone


def shares(peaks: Peaks, full: float | None) -> list[float]:
    """The points as shares of `full` (if unknown: of the highest), from 0 to 1."""
    top = full or max(peaks.points, default=0.0)
    return [round(min(point / top, 1.0), 3) if top else 0.0 for point in peaks.points]


def bars(heights: Sequence[float], most: int = 8) -> str:
    """Shares as at most this many block characters: `▂▃▅▆`."""
    step = -(-len(heights) // most) or 1
    highest = [max(heights[at : at + step]) for at in range(0, len(heights), step)]
    return "".join(_BARS[min(int(peak * len(_BARS)), len(_BARS) - 1)] for peak in highest)
