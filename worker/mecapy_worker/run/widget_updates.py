"""Merges waiting updates of a widget that come faster than events are written, so that a bar moved
a hundred thousand times is about thirty events a second. It does not read the values.
"""

from __future__ import annotations

from collections.abc import Reversible
from itertools import islice
from typing import cast

from mecapy_jupyter import wire
from mecapy_jupyter.wire import Json, JsonObject

USUAL_BYTES = 512
"""A merged update counts as output only if it is larger, like progress."""

_BACK = 8  # so many widgets may be updated in turn


def joined(pending: Reversible[tuple[str, JsonObject]], new: JsonObject) -> bool:
    """Whether a waiting update has taken the new one. Never past other events, so that prints keep
    their place.
    """
    later = _state(new)
    if later is None:
        return False
    for kind, data in islice(reversed(pending), _BACK):
        state = _state(data) if kind == wire.COMM else None
        if state is None:
            return False
        if data["comm_id"] == new["comm_id"] and _method(data) == _method(new):
            state.update(later)
            return True
    return False


def _method(message: JsonObject) -> Json:
    return cast("JsonObject", message["data"]).get("method")


def _state(message: JsonObject) -> JsonObject | None:
    """What a message without binary parts updates; None for any other message."""
    data = message["data"]
    if message["kind"] != "comm_msg" or message["buffers"] or not isinstance(data, dict):
        return None
    state = data.get("state")
    is_update = data.get("method") in wire.UPDATES and not data.get("buffer_paths")
    return cast("JsonObject", state) if is_update and isinstance(state, dict) else None
