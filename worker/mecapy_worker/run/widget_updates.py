"""A widget that is updated faster than events leave: its updates that wait become one.

A bar moved a hundred thousand times is then some thirty events a second, as the page could not
show more. It may not look into what is updated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from mecapy_jupyter import wire
from mecapy_jupyter.wire import JsonObject

USUAL_BYTES = 512
"""An update that was taken up counts as output only where it is larger, as progress does."""

_BACK = 8  # so many widgets may be updated in turn


def joined(pending: Sequence[tuple[str, JsonObject]], new: JsonObject) -> bool:
    """Whether an update that waits has taken up the new one. Never past anything else: what was
    printed between two updates stays between them.
    """
    later = _state(new)
    if later is None:
        return False
    for kind, data in reversed(pending[-_BACK:]):
        state = _state(data) if kind == wire.COMM else None
        if state is None:
            return False
        if data["comm_id"] == new["comm_id"]:
            state.update(later)
            return True
    return False


def _state(message: JsonObject) -> JsonObject | None:
    """What a message without binary parts updates; None where it is another message."""
    data = message["data"]
    if message["kind"] != "comm_msg" or message["buffers"] or not isinstance(data, dict):
        return None
    state = data.get("state")
    is_update = data.get("method") == "update" and not data.get("buffer_paths")
    return cast("JsonObject", state) if is_update and isinstance(state, dict) else None
