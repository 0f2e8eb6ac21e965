"""The live block of one task: when it appears, how often it is drawn, and what stays of it.

Nothing is shown of a task that ends soon. What is shown is `blockstate`'s business, and how it gets there that of `surfaces`.
`cell` calls a block from the kernel's main thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Self

from . import wire
from .blockstate import BlockState, advance, finished
from .surfaces import Surface, surface_here
from .units import clean

UPDATE_EVERY_S = 0.1
"""Not more often than this; what comes faster is shown with the next."""
OUTPUT = frozenset({wire.STDOUT, wire.STDERR, wire.DISPLAY})
"""Events whose replay writes where the block stands."""


class LiveBlock:
    """One task's block. Call `event` for each event *before* it is replayed, `tick` about every 0.2 s, `finish` once, last of all.

    Used as a context it never stays behind as "running": left by an error before `finish`, its last line names that error.
    """

    def __init__(
        self,
        name: str,
        *,
        after_s: float = 2.0,
        quiet: bool = False,
        on_cancel: Callable[[], object] | None = None,
        surface: Surface | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`after_s`: shown only when it takes longer. `on_cancel`: for a task that leaves the kernel free; else Cancel interrupts."""
        self._now = now
        self._appears_s = now() + after_s
        self._state = BlockState(name=clean(name, 40), since_s=now())
        self._quiet = quiet
        self._surface = surface or surface_here(on_cancel)
        self._drawn: BlockState | None = None
        self._drawn_s = 0.0
        self._gone = False  # an output of the cell took it away
        self._ended = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None) -> None:
        if not self._ended:
            stopped = isinstance(error, KeyboardInterrupt)
            self.finish(wire.Outcome(wire.CANCELLED if stopped else wire.FAILED), [], "" if kind is None else kind.__name__)

    @property
    def state(self) -> BlockState:
        return self._state

    def sent(self, sent_bytes: int, reused_bytes: int) -> None:
        """The gateway has the task: from now on it is queued. Bytes of inputs that travelled, and that the server already had."""
        self._state = replace(self._state, sent_bytes=sent_bytes, reused_bytes=reused_bytes)
        if self._state.phase == "sending":
            self._state = replace(self._state, phase="queued", since_s=self._now())
        self.tick()

    def event(self, event: wire.Event) -> None:
        self._state = advance(self._state, event, self._now())
        if event.type not in OUTPUT:
            self.tick()
        elif self._drawn is not None and self._surface.before(event):
            self._gone = True

    def tick(self) -> None:
        """Draw what is new, if it is time to."""
        now_s = self._now()
        wait_s = UPDATE_EVERY_S if self._gone or self._drawn != self._state else self._surface.refresh_s
        if self._visible(now_s) and (self._drawn is None or now_s - self._drawn_s >= wait_s):
            self._surface.draw(self._state, now_s)
            self._drawn, self._drawn_s, self._gone = self._state, now_s, False

    def finish(self, outcome: wire.Outcome, came_back: list[str], error: str = "") -> None:
        """Leave the final line, if there was a block. `came_back`: as they shall read, e.g. "T (12 MB)", "residuals changed".
        `error`: names what went wrong when the outcome does not."""
        now_s = self._now()
        state = finished(self._state, outcome, came_back, now_s)
        self._state, self._ended = replace(state, error=state.error or clean(error, 60)), True
        if self._visible(now_s):
            self._surface.end(self._state, now_s)

    def _visible(self, now_s: float) -> bool:
        return not self._quiet and (self._drawn is not None or now_s >= self._appears_s)
