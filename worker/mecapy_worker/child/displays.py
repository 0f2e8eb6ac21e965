"""Displays of a cell, and the value of its last expression, as frames."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher

from mecapy_jupyter.shared.units import size
from mecapy_jupyter.wire import Json, JsonObject
from mecapy_worker.child import home_paths
from mecapy_worker.child.plain_json import plain_mapping
from mecapy_worker.shared.frames import json_of
from mecapy_worker.shared.messages import DisplayMessage

if TYPE_CHECKING:
    from mecapy_worker.child.shell import TaskShell

MOST_BYTES = 15_000_000
"""The bound of one display, which is in the header of a frame."""
_CUT_CHARS = 1_000_000


class FramePublisher(DisplayPublisher):
    """`display()` and friends."""

    shell: TaskShell

    def publish(
        self,
        data: Any,
        metadata: Any = None,
        *_: Any,
        transient: Any = None,
        update: bool = False,
        **__: Any,
    ) -> None:
        display_id: str | None = transient.get("display_id") if transient else None
        self.show("update_display_data" if update else "display_data", data, metadata, display_id)

    def clear_output(self, wait: bool = False) -> None:
        self.shell.outgoing.send(DisplayMessage("clear_output", wait=bool(wait)))

    def show(self, kind: str, data: Any, metadata: Any, display_id: str | None = None) -> None:
        shown, cut = fitting(home_paths.shown_in(plain_mapping(data)))
        self.shell.outgoing.send(
            DisplayMessage(kind, shown, plain_mapping(metadata or {}), display_id)
        )
        if cut:
            print(
                f"mecapy: a display cannot be shown whole ({cut}; {size(MOST_BYTES)} is the most): "
                f"show a part of it, or save it to a file",
                file=sys.stderr,
            )


class FrameDisplayHook(DisplayHook):
    """The value of the last expression: shown as in a kernel, and kept for the result."""

    shell: TaskShell
    value: Any = None
    source = ""

    def quiet(self) -> bool:
        return bool(self.semicolon_at_end_of_expression(self.source))  # pyright: ignore[reportUnknownMemberType]

    def write_output_prompt(self) -> None: ...

    def write_format_data(self, format_dict: Any, md_dict: Any = None) -> None:
        self.shell.display_pub.show("execute_result", format_dict, md_dict)

    def update_user_ns(self, result: Any) -> None:
        self.value = result

    def log_output(self, format_dict: Any) -> None: ...

    def finish_displayhook(self) -> None:
        self._is_active = False


def fitting(data: JsonObject) -> tuple[JsonObject, str]:
    """The part of a display that may be sent, and the type and size of what was cut; empty:
    nothing.
    """
    if sum(len(value) for value in data.values() if isinstance(value, str)) < MOST_BYTES // 12:
        return data, ""  # a character takes at most twelve bytes
    sizes = {kind: len(json_of({kind: value})) for kind, value in data.items()}
    if sum(sizes.values()) <= MOST_BYTES:
        return data, ""
    kept, cut = dict[str, Json](), list[str]()
    for kind in sorted(sizes, key=sizes.__getitem__):
        if len(json_of(kept)) + sizes[kind] <= MOST_BYTES:
            kept[kind] = data[kind]
        else:
            cut.append(f"{kind}: {size(sizes[kind])}")
    if "text/plain" not in kept:
        text = str(data.get("text/plain", ""))
        kept["text/plain"] = f"{text[:_CUT_CHARS]}… (cut: {len(text):,} characters)"
    return kept, ", ".join(cut)
