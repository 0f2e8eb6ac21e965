"""Loads for the simulation: when tasks come, whose they are, and how long each runs."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

DAY_S = 86_400.0
USERS = tuple(f"user{number:02}" for number in range(20))
FLOODER = "flooder"
Pattern = Literal["steady", "day-night", "bursts", "flooder"]
PATTERNS: Final[tuple[Pattern, ...]] = get_args(Pattern)
_BURSTS_A_DAY, _BURST_S = 24, 60.0


@dataclass(frozen=True, slots=True)
class RunTimes:
    """How long tasks run: those measured, drawn again; else lognormal with this mean and median, or
    exponential where both are equal to it. `overhead_s`: what a task costs beside its own time.
    """

    mean_s: float = 30.0
    median_s: float = 8.0
    overhead_s: float = 0.01
    measured_s: Sequence[float] = ()

    def drawing(self, dice: random.Random) -> Callable[[], float]:
        if self.measured_s:
            return lambda: dice.choice(self.measured_s) + self.overhead_s
        if self.median_s >= self.mean_s:
            return lambda: dice.expovariate(1 / self.mean_s) + self.overhead_s
        mu = math.log(self.median_s)
        sigma = math.sqrt(2 * math.log(self.mean_s / self.median_s))
        return lambda: dice.lognormvariate(mu, sigma) + self.overhead_s

    @property
    def expected_s(self) -> float:
        own = math.fsum(self.measured_s) / len(self.measured_s) if self.measured_s else self.mean_s
        return own + self.overhead_s


@dataclass(frozen=True, slots=True)
class Arrival:
    at_s: float
    user: str
    runs_s: float


@dataclass(frozen=True, slots=True)
class Load:
    """`tasks_a_day` in `pattern` over `span_s`. A span shorter than a day of day and night begins
    where the rise is steepest.
    """

    tasks_a_day: float
    pattern: Pattern = "steady"
    span_s: float = DAY_S
    service: RunTimes = field(default_factory=RunTimes)

    @property
    def first_rate(self) -> float:
        """Tasks a second at the beginning."""
        share = 0.5 if self.pattern in ("bursts", "flooder") else 1.0
        return share * self.tasks_a_day / DAY_S * self._wave(0.0)

    def arrivals(self, seed: int) -> list[Arrival]:
        dice = random.Random(seed)
        runs_s, rate = self.service.drawing(dice), self.tasks_a_day / DAY_S
        times = self._times(dice, rate)
        found = [Arrival(at_s, dice.choice(USERS), runs_s()) for at_s in times]
        if self.pattern == "flooder":  # half of all tasks, in one second
            at_s, flood = 0.4 * self.span_s, int(0.5 * rate * min(self.span_s, DAY_S))
            found += [Arrival(at_s + dice.random(), FLOODER, runs_s()) for _ in range(flood)]
        found.sort(key=lambda one: one.at_s)
        return found

    def _times(self, dice: random.Random, rate: float) -> list[float]:
        match self.pattern:
            case "steady":
                return _poisson(dice, rate, 0.0, self.span_s)
            case "flooder":
                return _poisson(dice, rate / 2, 0.0, self.span_s)
            case "day-night":
                times = _poisson(dice, 2 * rate, 0.0, self.span_s)
                return [at for at in times if 2 * dice.random() < self._wave(at)]
            case "bursts":
                times = _poisson(dice, rate / 2, 0.0, self.span_s)
                bursts = max(1, round(_BURSTS_A_DAY * self.span_s / DAY_S))
                within = rate / 2 * self.span_s / bursts / _BURST_S
                for _ in range(bursts):
                    begin = dice.uniform(0.0, self.span_s - _BURST_S)
                    times += _poisson(dice, within, begin, begin + _BURST_S)
                return times

    def _wave(self, at_s: float) -> float:
        """The rate as a share of the mean: 0.1 at night, 1.9 at noon; the mean at the beginning,
        rising.
        """
        if self.pattern != "day-night":
            return 1.0
        return 1 + 0.9 * math.sin(2 * math.pi * at_s / DAY_S)


def _poisson(dice: random.Random, rate: float, begin_s: float, end_s: float) -> list[float]:
    times, at_s = list[float](), begin_s
    while (at_s := at_s + dice.expovariate(rate)) < end_s:
        times.append(at_s)
    return times
