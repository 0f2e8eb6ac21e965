"""Traces and logs by OpenTelemetry (OTLP over HTTP), where MECAPY_OTLP_ENDPOINT is set. A task's id
is the id of its trace, so nothing has to travel with the task for gateway and worker to write one.

Spans are built when they have ended, and sent by a thread; what cannot be sent is dropped.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from mecapy_jupyter.shared.errors import ConfigError

Attributes = Mapping[str, str | int | float]


@dataclass(frozen=True, slots=True)
class Span:
    """Times in nanoseconds since 1970. `parent` 0: the task's root span, its submission, which
    has the lower half of the trace's id.
    """

    name: str
    start_ns: int
    end_ns: int
    attributes: Attributes = field(default_factory=dict[str, str | int | float])
    id: int = 0
    parent: int = 0


class Exporter(Protocol):
    """What `otlp` offers, once it is imported."""

    def span(self, trace: int, span: Span) -> None: ...

    def log(self, trace: int, entry: Mapping[str, object]) -> None: ...

    def close(self) -> None: ...


_HALF = (1 << 64) - 1
_exporter: Exporter | None = None


def configure(endpoint: str, component: str) -> None:
    """Once per process; "": off. `component`: the service's name."""
    global _exporter
    if not endpoint:
        return
    try:
        from mecapy_backend.shared.otlp import OtlpExporter
    except ImportError:
        raise ConfigError(
            "MECAPY_OTLP_ENDPOINT is set, and OpenTelemetry is not installed: "
            "pip install 'mecapy-jupyter[otlp]'"
        ) from None
    _exporter = OtlpExporter(endpoint.rstrip("/"), f"mecapy-{component}")


def close() -> None:
    """Send what is left."""
    global _exporter
    exporter, _exporter = _exporter, None
    if exporter:
        exporter.close()


def stopwatch() -> Stopwatch | None:
    """None where telemetry is off, so that it costs nothing."""
    return Stopwatch() if _exporter else None


def trace_of(task_id: object) -> int:
    """0: not a task's id."""
    try:
        return int(str(task_id).replace("-", ""), 16) if len(str(task_id)) == 36 else 0
    except ValueError:
        return 0


def root_of(task_id: str) -> int:
    """The id of its root span."""
    return trace_of(task_id) & _HALF


def new_id() -> int:
    return int.from_bytes(os.urandom(8)) or 1


def record(task_id: str, *spans: Span) -> None:
    """Record ended spans of one task."""
    if _exporter and (trace := trace_of(task_id)):
        for span in spans:
            _exporter.span(trace, span)


def log(entry: Mapping[str, object]) -> None:
    """A line of the log."""
    if _exporter:
        _exporter.log(trace_of(entry.get("task")), entry)


class Stopwatch:
    """Times one way through several stages, each of which begins where the one before ends."""

    __slots__ = ("_at_ns", "_began_ns", "_stages")

    def __init__(self) -> None:
        self._began_ns = self._at_ns = time.time_ns()
        self._stages: list[tuple[str, int, int]] = []

    def stage(self, name: str) -> None:
        now_ns = time.time_ns()
        self._stages.append((name, self._at_ns, now_ns))
        self._at_ns = now_ns

    def record(self, task_id: str, name: str, attributes: Attributes, span_id: int = 0) -> None:
        """All stages, below one span that is as long as they are together. `span_id`: its own."""
        top = Span(name, self._began_ns, self._at_ns, attributes, span_id or new_id())
        below = (Span(stage, start, end, parent=top.id) for stage, start, end in self._stages)
        record(task_id, top, *below)
