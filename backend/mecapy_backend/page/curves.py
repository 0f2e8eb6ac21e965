"""Curves that a template draws; first of all how a task used processor and memory over its run. The
samples are the `usage` events of its log, about one a second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mecapy_backend.store.log import events
from mecapy_backend.store.log.events import EncodedEvent
from mecapy_jupyter import wire
from mecapy_jupyter.shared import units

MEGABYTE = 1e6
_MOST = 1200


@dataclass(frozen=True, slots=True)
class Sample:
    at_ms: int
    cpu_percent: float
    memory_bytes: float


@dataclass(frozen=True, slots=True)
class Curve:
    """One quantity. `points`: of an SVG polyline, in seconds since `began_s` (1970) and in values
    upside down; `top`: the highest value, `most`: the same in words.
    """

    name: str
    points: str
    began_s: float
    took_s: float
    top: float
    most: str
    over: str


class Samples:
    """The samples of the last attempt. In a long run, neighbours become one with the higher of
    their values.
    """

    def __init__(self) -> None:
        self._all = list[Sample]()
        self._each, self._open = 1, 0

    def add(self, event: EncodedEvent) -> None:
        if event.type == wire.STARTED:
            self.__init__()
        if event.type != wire.USAGE:
            return
        body = event.decoded().body
        if not isinstance(body, wire.UsageEvent):
            return
        at_ms, _ = events.parse_id(event.id)
        new = Sample(at_ms, body.cpu_percent or 0.0, body.memory_bytes or 0.0)
        if self._open:
            self._all[-1] = _higher(self._all[-1], new)
        else:
            self._all.append(new)
        self._open = (self._open + 1) % self._each
        if len(self._all) > _MOST and not self._open:
            pairs = zip(self._all[::2], [*self._all[1::2], self._all[-1]], strict=True)
            self._all, self._each = [_higher(*pair) for pair in pairs], 2 * self._each

    def curves(self) -> list[Curve]:
        """None of a run that was too short to have any."""
        cpu = [(one.at_ms / 1000, one.cpu_percent) for one in self._all]
        memory = [(one.at_ms / 1000, one.memory_bytes / MEGABYTE) for one in self._all]
        return [
            *curve("Processor", cpu, lambda most: f"{most:.0f} %"),
            *curve("Memory", memory, lambda most: units.size(MEGABYTE * most)),
        ]


def curve(
    name: str, values: Sequence[tuple[float, float]], text: Callable[[float], str]
) -> list[Curve]:
    """The curve of values at seconds, the earliest first; none where they are too few. `text`:
    writes the highest.
    """
    if len(values) < 2 or values[-1][0] <= values[0][0]:
        return []
    began_s, took_s = values[0][0], values[-1][0] - values[0][0]
    most = max(value for _, value in values)
    points = " ".join(f"{at_s - began_s:.3f},{-value:.7g}" for at_s, value in values)
    return [Curve(name, points, began_s, took_s, most, text(most), units.clock(took_s))]


def _higher(one: Sample, other: Sample) -> Sample:
    return Sample(
        other.at_ms,
        max(one.cpu_percent, other.cpu_percent),
        max(one.memory_bytes, other.memory_bytes),
    )
