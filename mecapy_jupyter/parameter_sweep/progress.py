"""How far a sweep is: in numbers, in the live block, and as a table of its last points."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mecapy_jupyter import wire
from mecapy_jupyter.block.live import LiveBlock
from mecapy_jupyter.block.surfaces import is_watched
from mecapy_jupyter.shared.units import duration

_TABLE_EVERY_S = 1.0
_TABLE_AFTER_S = 2.0


@dataclass(frozen=True, slots=True)
class Progress:
    """Counts of points; `left` have no result yet, `running` of them are in a task that runs.
    `eta_s`: seconds until the end, if it goes on as before; None while nothing is known.
    """

    points: int
    done: int
    failed: int
    running: int = 0
    state: wire.SweepState = "running"
    eta_s: float | None = None

    @property
    def left(self) -> int:
        return self.points - self.done

    def __str__(self) -> str:
        words = [f"{self.done:,} of {self.points:,} points"]
        if self.failed:
            words.append(f"{self.failed:,} failed")
        if self.state != "running":
            words.append(self.state)
        elif self.left and self.eta_s is not None:
            words.append(f"ends in ~{duration(self.eta_s)}")
        return ", ".join(words)


def eta_s(done: int, left: int, passed_s: float) -> float | None:
    return passed_s / done * left if done else None


class Display:
    """The live block of a sweep and, in a notebook, the points that ended last."""

    def __init__(self, name: str, newest: Callable[[], Any]) -> None:
        """`newest`: makes the table that is shown."""
        self._block = LiveBlock(name, quiet=not is_watched())
        self._newest = newest if is_watched(by_notebook=True) else None
        self._handle: Any = None
        self._began_s = time.monotonic()
        self._shown_s = self._began_s - _TABLE_EVERY_S + _TABLE_AFTER_S

    def sent(self, sent_bytes: int, reused_bytes: int) -> None:
        self._block.sent(sent_bytes, reused_bytes)

    def show(self, progress: Progress) -> None:
        if self._block.state.phase != "running":
            self._block.event(wire.Event.of(wire.StartedEvent("the pool")))
        fraction = progress.done / progress.points if progress.points else None
        self._block.event(wire.Event.of(wire.ProgressEvent(fraction, str(progress))))
        now_s = time.monotonic()
        if self._newest is not None and now_s - self._shown_s >= _TABLE_EVERY_S:
            self._shown_s = now_s
            self._show_table(self._newest())

    def _show_table(self, table: Any) -> None:
        from IPython import display as displays

        display: Any = displays.display  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        if self._handle is None:
            self._handle = display(table, display_id=True)
        else:
            self._handle.update(table)

    def end(self, state: wire.State, progress: Progress, error: str = "") -> None:
        seconds = time.monotonic() - self._began_s
        if self._handle is not None:  # the whole table follows
            from IPython.display import HTML

            self._handle.update(HTML(""))
        self._block.finish(wire.Outcome(state, seconds=seconds), [str(progress)], error)
