"""Shows a task's events as the notebook's own output, as if the cell ran here."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, cast

from mecapy_jupyter import wire
from mecapy_jupyter.cells.ipython_types import Shell
from mecapy_jupyter.cells.shown_widgets import ShownWidgets
from mecapy_jupyter.hooks import ipykernel, ipython

ANEW = wire.Event.of(wire.DisplayEvent("clear_output"))
"""Marks the start of a repeated task's output. The output of the attempt before is removed, so that
nothing appears twice.
"""

_AGAIN = (
    "\nmecapy: the task was started again; the output above this line is from the attempt before\n"
)


def widgets_of(shell: Shell, inputs: Iterable[object] = ()) -> ShownWidgets:
    """The widgets of the running cell's task. `inputs`: what it was sent."""
    kernel: Any = getattr(shell, "kernel", None)
    return ShownWidgets(shell, lambda: _message_id(ipykernel.request_of(kernel)), inputs)


def _message_id(request: Mapping[str, Any]) -> str:
    return str(request.get("header", {}).get("msg_id", ""))


def show(shell: Shell, event: wire.Event, widgets: ShownWidgets) -> None:
    """Show one event; events without output are ignored."""
    if event is ANEW:
        widgets.anew()
        if not widgets.live:  # a terminal cannot remove output
            sys.stderr.write(_AGAIN)
            return
    match event.body:
        case wire.StdoutEvent(text):
            sys.stdout.write(text)
            sys.stdout.flush()
        case wire.StderrEvent(text):
            sys.stderr.write(text)
            sys.stderr.flush()
        case wire.DisplayEvent() as display:
            _display(shell, replace(display, data=widgets.view(display.data)))
        case wire.CommEvent() as said:
            widgets.take(said)
        case _:
            pass


class CellOutput:
    """The output of the current cell, usable later from a thread, for a background task."""

    def __init__(self, shell: Any) -> None:
        self._kernel: Any = getattr(shell, "kernel", None)
        self.live = self._kernel is not None
        self._request: Mapping[str, Any] = ipykernel.request_of(self._kernel) if self.live else {}
        self.widgets = ShownWidgets(shell, lambda: _message_id(self._request), ())
        self._updated: dict[str, Any] | None = None

    def publish(
        self,
        data: dict[str, Any],
        metadata: dict[str, Any] | None = None,
        *,
        transient: Any = None,
        update: bool = False,
        **_: Any,
    ) -> None:
        """Like a shell's `display_pub.publish`."""
        content = {"data": data, "metadata": metadata or {}, "transient": transient or {}}
        self._updated = content if update else self._updated
        self._send("update_display_data" if update else "display_data", content)

    def update_again(self, shell: Any) -> None:
        """Send the last update once more, as an output of the current or next cell, because runners
        without a page (nbclient) accept output only from a running cell.
        """

        def send(*_: object) -> None:
            shell.events.unregister("post_run_cell", send)
            self._send("update_display_data", self._updated, ipykernel.request_of(self._kernel))

        if self.live and self._updated is not None:
            shell.events.register("post_run_cell", send)

    def error(self, exception: BaseException) -> None:
        """Shows an error like a failed cell."""
        if self.live:
            name, lines = type(exception).__name__, ipython.lines_of(exception)
            self._send("error", {"ename": name, "evalue": str(exception), "traceback": lines})

    def show(self, event: wire.Event) -> None:
        """Show one event. A result is shown as a display, because another cell has its number by
        now.
        """
        if not self.live:
            return
        if event is ANEW:
            self.widgets.anew()
        match event.body:
            case wire.StdoutEvent(text) | wire.StderrEvent(text):
                self._send("stream", {"name": event.type, "text": text})
            case wire.DisplayEvent(kind="clear_output", wait=wait):
                self._send("clear_output", {"wait": wait})
            case wire.CommEvent() as said:
                self.widgets.take(said)
            case wire.DisplayEvent(kind="error", data=data):
                self._send("error", data)
            case wire.DisplayEvent(kind, data, metadata, display_id):
                self.publish(
                    self.widgets.view(data),
                    metadata,
                    transient=_transient(display_id),
                    update=kind == "update_display_data",
                )
            case _:
                pass

    def _send(
        self,
        kind: str,
        content: Mapping[str, Any] | None,
        request: Mapping[str, Any] | None = None,
    ) -> None:
        ipykernel.send_output(self._kernel, kind, content, request or self._request)


def _display(shell: Shell, display: wire.DisplayEvent) -> None:
    if display.kind == "clear_output":
        shell.display_pub.clear_output(wait=display.wait)
    elif display.kind == "error":
        _error(shell, display.data)
    elif display.kind == "execute_result":
        # the value follows when the task has ended (`remember`)
        ipython.show_result(shell.displayhook, display.data, display.metadata)
    else:
        shell.display_pub.publish(
            display.data,
            display.metadata,
            transient=_transient(display.display_id),
            update=display.kind == "update_display_data",
        )


def _error(shell: Shell, data: wire.JsonObject) -> None:
    """An error that the cell showed without failing."""
    kernel: Any = getattr(shell, "kernel", None)
    lines = [str(line) for line in cast("list[object]", data.get("traceback") or [])]
    if kernel is None:
        print("\n".join(lines))
        return
    content = {"ename": "", "evalue": "", **data, "traceback": lines}
    ipykernel.send_output(kernel, "error", content, ipykernel.request_of(kernel))


def _transient(display_id: str | None) -> dict[str, str]:
    return {"display_id": display_id} if display_id else {}


def remember(shell: Shell, value: object) -> None:
    """Let `Out[n]`, `_` and `_n` be the value of the cell."""
    if value is not None:
        ipython.remember_result(shell.displayhook, value)
