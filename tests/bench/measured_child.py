"""The child of `tests.bench.child`: a real one that notes CPU and page faults at each step, and
says them before its outcome.
"""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import resource
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from mecapy_worker.child import child
from mecapy_worker.shared.channel import Channel
from mecapy_worker.shared.frames import Frame

_marks: list[tuple[str, float, int]] = []


def mark(step: str) -> None:
    """`step` ends here."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _marks.append((step, used.ru_utime + used.ru_stime, used.ru_minflt))


def prepare(preload: list[str]) -> None:
    child.prepare(preload)
    child.task_inputs.opened = _then("open", child.task_inputs.opened)
    child._run = _then("run", child._run)
    child.results.collect = _then("collect", child.results.collect)


P = ParamSpec("P")
T = TypeVar("T")


def _then(step: str, work: Callable[P, T]) -> Callable[P, T]:
    def marked(*arguments: P.args, **named: P.kwargs) -> T:
        try:
            return work(*arguments, **named)
        finally:
            mark(step)

    return marked


def begin(*, warm: bool) -> None:
    mark("confine")
    child.begin(warm=warm)
    del _marks[1:]  # the rehearsal's
    mark("warm")


class _Telling(Channel):
    def receive(self) -> Frame | None:
        frame = super().receive()
        mark("receive")
        return frame

    def send_frame(self, frame: Frame) -> None:
        if frame.kind == "outcome":
            super().send_frame(Frame("progress", {"marks": [list(mark) for mark in _marks]}))
        super().send_frame(frame)


def serve(channel: Channel, outbox: str) -> None:
    channel.__class__ = _Telling
    child.serve(channel, outbox)
