"""Where a live block is drawn: in a notebook or on a terminal. In a kernel it is a widget, and at
the end static HTML and text in the same place, so that a saved notebook needs no widget to show it.
Elsewhere it is one rewritten line on stderr; if stderr is no terminal, only the last line. With
`--quiet` there is only the bar. A block must never break its cell: where a widget cannot be
created, static HTML appears. `live` opens and feeds a surface.
"""

from __future__ import annotations

import re
import shutil
import sys
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TextIO, cast

from mecapy_jupyter import wire
from mecapy_jupyter.block import control_channel, notes
from mecapy_jupyter.block.line import html, line, mark, mark_html, said, view
from mecapy_jupyter.block.state import BlockState
from mecapy_jupyter.hooks import ipykernel

if TYPE_CHECKING:
    from mecapy_jupyter.widget import BlockWidget

_EMPTY = {"text/html": "", "text/plain": "", "application/vnd.mecapy.place+json": "empty"}
BLOCK_MIME = "application/vnd.mecapy.block+json"
"""For our part of the page, which keeps the line alive when a reload has taken the widget away."""


class Surface(Protocol):
    """Where a block is drawn. `refresh_s`: the interval of drawing when nothing has changed."""

    refresh_s: float

    def draw(self, state: BlockState, now_s: float) -> None: ...
    def before(self, event: wire.Event) -> bool:
        """Make room for an output of the cell that is about to be replayed; returns whether no
        block stands then.
        """
        ...

    def end(self, state: BlockState, now_s: float) -> None: ...
    def mark(self, state: BlockState) -> None:
        """The task has ended and was too short for a block."""
        ...


def surface_here(on_detach: Callable[[], object]) -> Surface:
    """The surface of this process: a notebook in a kernel, else a terminal."""
    from IPython.core.getipython import get_ipython

    shell: Any = get_ipython()
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return Terminal()
    return Notebook(shell.display_pub.publish, None, on_detach, kernel)


def is_watched(*, by_notebook: bool = False) -> bool:
    """Whether somebody sees a block that this thread shows: in a notebook or, unless
    `by_notebook`, on a terminal.
    """
    if threading.current_thread() is not threading.main_thread():
        return False
    shell: Any = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    in_kernel = getattr(shell, "kernel", None) is not None
    return in_kernel or (not by_notebook and sys.stderr is not None and sys.stderr.isatty())


class Notebook:
    """A widget while the task runs, then static HTML and text in the same place (a display id)."""

    # the clock ticks in the browser, which only must know that the kernel is there (SILENT_AFTER_S
    # in widget.js)
    refresh_s = 5.0

    def __init__(
        self,
        publish: Callable[..., None],
        on_cancel: Callable[[], object] | None = None,
        on_detach: Callable[[], object] | None = None,
        kernel: object = None,
    ) -> None:
        """`on_cancel`: for a task that leaves the kernel free. `on_detach`: for one that does not;
        called in another thread.
        """
        self._publish = publish
        self._on_cancel, self._on_detach, self._kernel = on_cancel, on_detach, kernel
        self._transient = {"display_id": uuid.uuid4().hex}
        self.widget: BlockWidget | None = None
        self._shown = self._kept = False
        self._listener = ""
        self._clears_next = False  # the cell said clear_output(wait=True)

    def draw(self, state: BlockState, now_s: float) -> None:
        if not self._shown:
            self.widget = self.widget or self._open(state, now_s)
            self._show(state, now_s)
        elif self.widget is not None:
            self.widget.view = view(state, now_s)
        if self._on_cancel is None and self._kernel is not None:
            ipykernel.stay_busy(self._kernel)

    def mark(self, state: BlockState) -> None:
        shown = {"text/html": mark_html(state), "text/plain": mark(state)}
        self._publish(shown, {notes.ABOUT: "mark"}, transient=self._transient, update=self._kept)

    def before(self, event: wire.Event) -> bool:
        """A `clear_output` of the cell removes the block too; with `wait`, the next output removes
        it. An output that comes before the block leaves its place free above itself.
        """
        display = event.body
        clears = isinstance(display, wire.DisplayEvent) and display.kind == "clear_output"
        if self._clears_next or (clears and not cast(wire.DisplayEvent, display).wait):
            self._shown = self._kept = False
        self._clears_next = clears and cast(wire.DisplayEvent, display).wait
        if not clears and not self._shown and not self._kept:
            self._kept = True
            place = {notes.ABOUT: "place"}
            self._publish(_EMPTY, place, transient=self._transient, update=False)
        return not self._shown

    def end(self, state: BlockState, now_s: float) -> None:
        widget, self.widget = self.widget, None
        self._show(state, now_s)
        if widget is not None:
            control_channel.forget(self._listener)
            widget.close()

    def _show(self, state: BlockState, now_s: float) -> None:
        data: dict[str, Any] = {"text/html": html(state, now_s), "text/plain": line(state, now_s)}
        if self.widget is not None:
            data[wire.WIDGET_VIEW] = {
                "version_major": 2,
                "version_minor": 0,
                "model_id": self.widget.model_id,
            }
            data[BLOCK_MIME] = view(state, now_s)
        update = self._shown or self._kept
        self._publish(data, {}, transient=self._transient, update=update)
        self._shown, self._kept = True, False

    def _open(self, state: BlockState, now_s: float) -> BlockWidget | None:
        try:
            from mecapy_jupyter.widget import BlockWidget

            widget = BlockWidget(
                view=view(state, now_s), kernel_id="" if self._on_cancel else kernel_id()
            )
        except Exception:  # a broken widget installation costs the live view, not the cell
            return None
        if self._on_cancel is not None:
            widget.on_msg(self._message)  # pyright: ignore[reportUnknownMemberType]
        elif self._on_detach is not None:
            widget.listener = self._listener = control_channel.listen(self._kernel, self._hear)
        return widget

    def _hear(self, word: str) -> None:
        if word == "detach" and self._on_detach is not None:
            self._on_detach()

    def _message(self, _widget: object, content: object, _buffers: object) -> None:
        if content == {"type": "cancel"} and self._on_cancel is not None:
            self._on_cancel()


def kernel_id() -> str:
    """This kernel's id at its Jupyter server, from the name of its connection file; empty when
    there is none.
    """
    from ipykernel.connect import get_connection_file

    try:
        name = Path(get_connection_file()).name
    except RuntimeError:
        return ""
    match = re.fullmatch(r"kernel-([\w-]+)\.json", name)
    return match[1] if match else ""


class BarAlone:
    """The block of `--quiet`: the cell's progress alone, as text on stderr, rewritten in place as
    by `tqdm`; removed at the end.
    """

    refresh_s = 1.0

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._shown, self._shown_s = "", 0.0

    def draw(self, state: BlockState, now_s: float) -> None:
        text = said(state) if state.phase == "running" else ""
        if text != self._shown and (not text or now_s - self._shown_s >= self.refresh_s):
            self._write(text, now_s)

    def mark(self, state: BlockState) -> None: ...
    def before(self, event: wire.Event) -> bool:
        if self._shown:
            self._write("", self._shown_s)
        return True

    def end(self, state: BlockState, now_s: float) -> None:
        if self._shown:
            self._write("", now_s)

    def _write(self, text: str, now_s: float) -> None:
        self._stream.write(
            f"\r{text:<{len(self._shown)}}" if text else f"\r{' ' * len(self._shown)}\r"
        )
        self._stream.flush()
        self._shown, self._shown_s = text, now_s


class Terminal:
    """One line on stderr, rewritten in place. It is removed before output of the cell."""

    refresh_s = 0.5  # the clock ticks here

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr
        self._live = self._stream.isatty()
        self._on_screen = False
        self._mid_line = False  # the cell printed the beginning of a line: do not write over it

    def draw(self, state: BlockState, now_s: float) -> None:
        if self._live and not self._mid_line:
            width = shutil.get_terminal_size().columns - 1
            self._write(f"\r\x1b[2K{line(state, now_s)[:width]}")
            self._on_screen = True

    def mark(self, state: BlockState) -> None:
        if self._live:
            self._write(("\n" if self._mid_line else "") + mark(state) + "\n")

    def before(self, event: wire.Event) -> bool:
        if self._on_screen:
            self._write("\r\x1b[2K")
            self._on_screen = False
        printed = event.body
        self._mid_line = isinstance(
            printed, wire.StdoutEvent | wire.StderrEvent
        ) and not printed.text.endswith("\n")
        return True

    def end(self, state: BlockState, now_s: float) -> None:
        start = "\r\x1b[2K" if self._on_screen else "\n" if self._mid_line else ""
        self._write(f"{start}{line(state, now_s)}\n")
        self._on_screen = False

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
