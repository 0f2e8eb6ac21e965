"""What a task will take, by earlier runs of the same code: pure functions. An estimate is never a
limit.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from mecapy_backend.fleet.router import NOTHING_KNOWN, TaskEstimate
from mecapy_backend.store.tasks.history import PastRun

_ENOUGH = 5
_PEAKS = 5
_MARGIN = 1.2
_LEAST_SPREAD = 0.2
"""The least spread of the logarithm of the inputs' sizes: below it, sizes explain nothing."""
_STEEPEST = 3.0
_BEYOND = 10.0
"""A regression is believed so many times beyond what was seen."""


def estimate(runs: Sequence[PastRun], input_bytes: int | None) -> TaskEstimate:
    """`runs`: the latest first. The mean of the last two (Tsafrir 2007); from five on, and where
    sizes of inputs differ, a regression on them. Memory: the highest of the last peaks and a fifth.
    """
    if not runs:
        return NOTHING_KNOWN
    by_size = _regression(runs, input_bytes) if input_bytes else None
    seconds = by_size or statistics.mean(run.seconds for run in runs[:2])
    peaks = [run.peak_bytes for run in runs[:_PEAKS] if run.peak_bytes]
    return TaskEstimate(seconds, round(_MARGIN * max(peaks)) if peaks else None)


def _regression(runs: Sequence[PastRun], input_bytes: int) -> float | None:
    """Seconds = a · bytes^b, by least squares of the logarithms."""
    known = [(run.input_bytes, run.seconds) for run in runs if run.input_bytes and run.seconds > 0]
    if len(known) < _ENOUGH:
        return None
    sizes = [math.log(size) for size, _ in known]
    times = [math.log(seconds) for _, seconds in known]
    if statistics.pstdev(sizes) < _LEAST_SPREAD:
        return None
    slope = min(statistics.linear_regression(sizes, times).slope, _STEEPEST)
    if slope <= 0:
        return None  # a larger input that takes less time: something else decides
    larger = math.log(input_bytes) - statistics.fmean(sizes)
    seconds = math.exp(statistics.fmean(times) + slope * larger)
    seen = [seconds for _, seconds in known]
    return max(min(seen) / _BEYOND, min(seconds, max(seen) * _BEYOND))
