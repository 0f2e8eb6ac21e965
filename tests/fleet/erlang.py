"""Erlang C: the exact answer for a fixed number of slots, arrivals at random, exponential times."""

from __future__ import annotations


def waits(slots: int, load: float) -> float:
    """The probability to wait. `load`: arrivals a second × mean seconds, below `slots`."""
    blocked = 1.0  # Erlang B, by its recursion
    for number in range(1, slots + 1):
        blocked = load * blocked / (number + load * blocked)
    return blocked * slots / (slots - load * (1 - blocked))


def mean_wait_s(slots: int, load: float, mean_s: float) -> float:
    return waits(slots, load) * mean_s / (slots - load)
