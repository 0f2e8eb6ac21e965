"""A task's events as the notebook's own output: prints, displays and results appear as if the cell ran here.

Before it: `cell`. After it: the front end, through IPython.
"""

from __future__ import annotations

import sys
from typing import Any

from . import wire
from .ipython import ResultHook, Shell


def show(shell: Shell, event: wire.Event) -> None:
    """Show one event; those that are not output show nothing."""
    if event.type == wire.STDOUT:
        sys.stdout.write(event.data["text"])
        sys.stdout.flush()
    elif event.type == wire.STDERR:
        sys.stderr.write(event.data["text"])
        sys.stderr.flush()
    elif event.type == wire.DISPLAY:
        _display(shell, event.data)


def _display(shell: Shell, data: dict[str, Any]) -> None:
    if data["kind"] == "clear_output":
        shell.display_pub.clear_output(wait=data.get("wait", False))
    elif data["kind"] == "execute_result":
        _result(shell.displayhook, data)
    else:
        transient = {"display_id": data["display_id"]} if data.get("display_id") else {}
        update = data["kind"] == "update_display_data"
        shell.display_pub.publish(data["data"], data.get("metadata") or {}, transient=transient, update=update)


def _result(hook: ResultHook, data: dict[str, Any]) -> None:
    """As Out[n]. The value itself follows when the task has ended (`remember`)."""
    hook.start_displayhook()
    hook.write_output_prompt()
    hook.write_format_data(data["data"], data.get("metadata") or {})
    hook.log_output(data["data"])
    hook.finish_displayhook()


def remember(shell: Shell, value: Any) -> None:
    """Let `Out[n]`, `_` and `_n` be the value of the cell."""
    if value is not None:
        shell.displayhook.check_for_underscore()
        shell.displayhook.update_user_ns(value)
        shell.displayhook.fill_exec_result(value)
