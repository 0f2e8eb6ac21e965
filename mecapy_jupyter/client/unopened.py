"""A task that somebody else may have submitted in this user's name: what of it can be shown without
opening a pickle, and without letting it act in the notebook's page.
"""

from __future__ import annotations

from dataclasses import replace

from mecapy_jupyter import wire
from mecapy_jupyter.client import signing
from mecapy_jupyter.wire.json_fields import Json

_SHOWN = ("text/plain", "image/png", "image/jpeg")


def inert(event: wire.Event) -> wire.Event | None:
    """The event as text and pictures alone; None for one that has neither. HTML, scripts and
    widgets act in the page, and a display's id reaches displays of other cells.
    """
    match event.body:
        case wire.CommEvent():
            return None
        case wire.DisplayEvent(kind="clear_output" | "error"):
            return event
        case wire.DisplayEvent(_, data, metadata) as display:
            data = {kind: data[kind] for kind in _SHOWN if kind in data}
            metadata = {kind: metadata[kind] for kind in data if kind in metadata}
            shown = replace(
                display, kind="display_data", data=data, metadata=metadata, display_id=None
            )
            return wire.Event.of(shown, event.id) if data else None
        case _:
            return event


def variables(outcome: wire.Outcome) -> dict[str, Json]:
    """What its JSON result has by name; not what JSON cannot hold."""
    result = outcome.result
    if not isinstance(result, dict):
        return {}
    return {name: value for name, value in result.items() if not _is_only_shown(value)}


def _is_only_shown(value: Json) -> bool:
    return isinstance(value, dict) and list(value) == ["repr"]


def remark(task_id: str, command: str = "attach") -> str:
    return (
        f"this task was not submitted with your key ({signing.key_file()}), so its pickles were "
        f"not opened: only text, pictures and JSON values came home, the rest stays there. If you "
        f"trust who submitted it, `%mecapy {command} {task_id[:8]} --trust` opens it"
    )
