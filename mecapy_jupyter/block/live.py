"""The live block of one task: when it appears, how often it is drawn, and what stays of it. A task
that ends soon has only a quiet mark. `state` decides what is shown, `surfaces` how. `cell` calls a
block from the kernel's main thread.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Self

from mecapy_jupyter import wire
from mecapy_jupyter.block.state import BlockState, advance, finished
from mecapy_jupyter.block.surfaces import Surface, surface_here
from mecapy_jupyter.hooks.ipython import show_as
from mecapy_jupyter.shared import errors
from mecapy_jupyter.shared.units import clean, number

UPDATE_EVERY_S = 0.1
"""The shortest time between two drawings."""
OUTPUT = frozenset({wire.STDOUT, wire.STDERR, wire.DISPLAY})
"""Events whose replay writes output where the block is drawn."""


class LiveBlock:
    """One task's block. Call `event` for each event *before* it is replayed, `tick` about every 0.2
    s, and `finish` once at the end.

    Used as a context, it never remains as "running": if an error leaves it before `finish`, its
    last line names that error. When the user detaches the task, the next `tick` or `event` raises
    TaskDetached.
    """

    def __init__(
        self,
        name: str,
        *,
        after_s: float = 2.0,
        quiet: bool = False,
        marked: bool = False,
        one_host: bool = False,
        expected_s: float | None = None,
        surface: Surface | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """`after_s`: shown only if the task takes longer; `marked`: a shorter one leaves a mark.
        `one_host`: all workers are on one host, so none is named. `expected_s`: its usual run time.
        """
        self._now = now
        self._appears_s = now() + after_s
        self._state = BlockState(
            name=clean(name, 40), one_host=one_host, since_s=now(), expected_s=number(expected_s)
        )
        self._quiet, self._marked = quiet, marked
        self._detach = threading.Event()
        self._surface = surface or surface_here(self.detach)
        self._drawn: BlockState | None = None
        self._drawn_s = 0.0
        self._gone = False  # an output of the cell took it away
        self._capturing = set[str]()  # Output widgets that take what is shown now
        self._ended = False
        self._attached = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if isinstance(error, errors.TaskDetached):
            self._end(replace(self._state, phase="detached", since_s=self._now()))
        elif not self._ended:
            stopped = isinstance(error, KeyboardInterrupt)
            self.finish(
                wire.Outcome(wire.CANCELLED if stopped else wire.FAILED),
                [],
                "" if kind is None else kind.__name__,
            )

    @property
    def state(self) -> BlockState:
        return self._state

    @property
    def ends_with_a_line(self) -> bool:
        """Whether its last line reports how the task ended."""
        return not self._quiet and self._ended and self._drawn is not None

    def detach(self) -> None:
        """Do not wait for the task any longer. From any thread; only for a task whose id `sent` has
        given.
        """
        self._detach.set()

    def sent(self, sent_bytes: int, reused_bytes: int, task_id: str = "") -> None:
        """The gateway has the task, which is now queued. Bytes of inputs: those that travelled, and
        those that the server already had. `task_id`: of the one task that the cell waits for, so
        that it can be detached. A task that was sent earlier counts no bytes.
        """
        self._attached = not sent_bytes and not reused_bytes
        self._state = replace(
            self._state, sent_bytes=sent_bytes, reused_bytes=reused_bytes, task_id=task_id
        )
        if self._state.phase == "sending":
            self._state = replace(self._state, phase="queued", since_s=self._now())
        self.tick()

    def event(self, event: wire.Event) -> None:
        self._state = advance(self._state, event, self._now() - self._age_s(event))
        if event.type not in OUTPUT:
            self.tick()
            self._note_capture(event)
        elif not self._quiet and not self._capturing and self._surface.before(event):
            self._gone = self._drawn is not None

    def _note_capture(self, event: wire.Event) -> None:
        """A block that begins inside a `with Output():` would stand in the widget."""
        said = event.body
        if event.type == wire.STARTED:  # a lost attempt does not end the task
            self._capturing.clear()
        if isinstance(said, wire.CommEvent) and isinstance(state := said.data.get("state"), dict):
            if state.get("msg_id"):
                self._capturing.add(said.comm_id)
            elif "msg_id" in state:
                self._capturing.discard(said.comm_id)

    def _age_s(self, event: wire.Event) -> float:
        """How long ago the task that we attach to was started, by the id of its event: the server's
        time in milliseconds.
        """
        stamp = event.id.partition("-")[0]
        old = (
            self._attached and event.type == wire.STARTED and stamp.isdecimal() and len(stamp) < 16
        )
        return max(time.time() - int(stamp) / 1000, 0.0) if old else 0.0

    def tick(self) -> None:
        """Draw what is new, if it is time."""
        if self._detach.is_set() and self._state.task_id and not self._ended:
            short = self._state.task_id[:8]
            detached = errors.TaskDetached(
                f"the task goes on without this cell; `%mecapy attach {short}` brings it home"
            )
            raise detached if self._drawn is None else show_as(detached, ["TaskDetached"])
        now_s = self._now()
        wait_s = (
            UPDATE_EVERY_S if self._gone or self._drawn != self._state else self._surface.refresh_s
        )
        if self._capturing and (self._gone or self._drawn is None):
            return
        if self._visible(now_s) and (self._drawn is None or now_s - self._drawn_s >= wait_s):
            self._surface.draw(self._state, now_s)
            self._drawn, self._drawn_s, self._gone = self._state, now_s, False

    def finish(self, outcome: wire.Outcome, came_back: list[str], error: str = "") -> None:
        """Leave the final line, if there was a block. `came_back`: the names as they are shown,
        e.g. "T (12 MB)", "residuals changed". `error`: the error, if the outcome does not name it.
        """
        state = finished(self._state, outcome, came_back, self._now())
        self._end(replace(state, error=state.error or clean(error, 60)))

    def _end(self, state: BlockState) -> None:
        self._state, self._ended, now_s = state, True, self._now()
        if self._visible(now_s):
            self._surface.end(state, now_s)
            self._drawn = state
        elif self._marked and not self._quiet:
            self._surface.mark(state)

    def _visible(self, now_s: float) -> bool:
        return not self._quiet and (self._drawn is not None or now_s >= self._appears_s)
