"""Progress of a loop: `track(iterable)`, `progress(fraction, text)`, and in a task also `tqdm`
bars.

Open bars are combined: the outermost gives the progress, inner ones the progress inside its current
step. Updates go to `sink`: in a task to the notebook's live block (set by the child), in a local
cell to a block of its own (set with `show_here`).
"""

from __future__ import annotations

import importlib
import math
import operator
import os
import threading
import time
import types
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, SupportsFloat, TypeVar

from mecapy_jupyter.shared.units import duration

T = TypeVar("T")
Sink = Callable[[float | None, str], object]
"""Takes a fraction (None: not known) and a text. Neither: nothing runs any more."""

EVERY_S = 0.1
_LOOK_EVERY_S = 0.02  # a loop of a million quick rounds reads only the clock


@dataclass(eq=False, slots=True)
class Bar:
    """Progress of one loop. `left_s`: estimated seconds left; `note`: other text."""

    description: str = ""
    total: float | None = None
    done: float = 0
    count: str = ""  # text for `done` of `total`, if it has its own
    note: str = ""
    left_s: float | None = None
    began_s: float = field(default_factory=time.monotonic)

    def words(self) -> str:
        of = f"{self.done:,g}/{self.total:,g}" if self.total else f"{self.done:,g}"
        return " ".join(part for part in (self.description, self.count or of, self.note) if part)


class Bars:
    """The open bars of this process, the outermost first."""

    def __init__(self) -> None:
        self._open: list[Bar] = []
        # the last update: the bar, how many were done, the fraction
        self._outer: tuple[Bar, float, float] | None = None

    def show(self, bar: Bar) -> None:
        """Report the current progress."""
        if bar not in self._open:
            self._open.append(bar)
        self._say()

    def close(self, bar: Bar) -> None:
        if bar in self._open:
            self._open.remove(bar)
            self._say()

    def _say(self) -> None:
        bars = self._open[:]
        if not bars:
            self._outer = None
            return progress(None)
        texts = [bar.words() for bar in bars[:2]]
        if (left_s := bars[0].left_s) is not None and left_s >= 1:
            texts.append(f"{duration(left_s)} left")
        progress(self._fraction(bars), " · ".join(texts))

    def _fraction(self, bars: list[Bar]) -> float | None:
        share: float | None = None
        for bar in reversed(bars):
            share = min((bar.done + (share or 0.0)) / bar.total, 1.0) if bar.total else None
        if share is None:
            return None
        outer, done, said = self._outer or (bars[0], -1.0, 0.0)
        # an inner loop has ended, but the outer has not counted it: do not go back
        if outer is bars[0] and bars[0].done >= done:
            share = max(share, said)
        self._outer = bars[0], bars[0].done, share
        return share


class Latest:
    """Passes on the latest update, at most ten times a second. The last one is never lost."""

    def __init__(self, send: Sink, every_s: float = EVERY_S) -> None:
        self._send, self._every_s = send, every_s
        self._owner, self._lock, self._wake = os.getpid(), threading.RLock(), threading.Event()
        self._next_s, self._held, self._thread = 0.0, list[tuple[float | None, str]](), False

    def give(self, fraction: float | None, text: str) -> None:
        if os.getpid() != self._owner:  # a process that the task forked
            return
        with self._lock:
            self._held[:] = [(fraction, text)]
            if time.monotonic() >= self._next_s:
                self.flush()
                return
            if not self._thread:
                self._thread = True
                threading.Thread(target=self._later, name="mecapy progress", daemon=True).start()
            self._wake.set()

    def flush(self) -> None:
        """Send the pending update."""
        with self._lock:
            held, self._held[:] = self._held[:], []
            self._next_s = time.monotonic() + self._every_s if held else self._next_s
            for what in held:
                self._send(*what)

    def _later(self) -> None:
        while self._wake.wait():
            self._wake.clear()
            while (early_s := self._next_s - time.monotonic()) > 0:
                time.sleep(early_s)
            with self._lock:
                # otherwise another was sent meanwhile, and its sender has woken us
                if time.monotonic() >= self._next_s:
                    self.flush()
                elif self._held:
                    self._wake.set()


def _nowhere(fraction: float | None, text: str) -> None:
    """Until progress has a place."""


bars = Bars()
sink: Sink = _nowhere


def show_here(local: Sink) -> None:
    """Where progress of this process is shown, unless it is a task."""
    global sink
    if sink is _nowhere:
        sink = local


def progress(fraction: SupportsFloat | None, text: str = "") -> None:
    """Report progress from 0 to 1 (None: not known), with a few words. Cheap: at most ten a second
    are sent.
    """
    share = None if fraction is None else float(fraction)
    sink(None if share is None or math.isnan(share) else min(max(share, 0.0), 1.0), str(text)[:200])


def track(iterable: Iterable[T], description: str = "", total: float | None = None) -> Iterator[T]:
    """The same items, with a bar in the live block. `total`: the number of items, if `iterable`
    does not know it.
    """
    hint: Any = iterable
    bar = Bar(description, (operator.length_hint(hint, 0) or None) if total is None else total)
    looked_s, said = 0.0, 0.0
    bars.show(bar)
    try:
        for item in iterable:
            yield item
            bar.done += 1
            now_s = time.monotonic()
            if now_s - looked_s > _LOOK_EVERY_S:
                looked_s, said = now_s, bar.done
                bar.left_s = (
                    (now_s - bar.began_s) / bar.done * max(bar.total - bar.done, 0)
                    if bar.total
                    else None
                )
                bars.show(bar)
        if bar.done != said:  # quick last rounds: without this the bar would stop before its end
            bar.left_s = None
            bars.show(bar)
    finally:
        bars.close(bar)


def bar_again(module: str) -> Any:
    """A tqdm bar that came home, which does not draw; its numbers follow. A namespace for them if
    tqdm is not installed.
    """
    try:
        made: Any = importlib.import_module(module)
    except ImportError:
        return types.SimpleNamespace()
    return made.tqdm(disable=True)
