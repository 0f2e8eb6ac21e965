"""JSON that nests so deep that its reader's stack ends."""

from __future__ import annotations

import json
from typing import Any

import pytest

from mecapy_worker.child import json_values
from mecapy_worker.shared import frames
from mecapy_worker.shared.frames import FrameError
from mecapy_worker.shared.nesting import DEEPEST


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def depth(value: Any) -> int:
    levels = 0
    while isinstance(value, list):
        value, levels = value[0], levels + 1
    return levels


@pytest.mark.parametrize("levels", [DEEPEST - 10, DEEPEST + 10, 960])
def test_a_result_is_json_as_deep_as_every_reader_can(levels: int) -> None:
    """Exactly what it is, or cut where it would be too deep for the kernel of its owner."""
    found = json_values.of(nested(levels))
    assert found == nested(levels) if levels < DEEPEST else 0 < depth(found) < DEEPEST


@pytest.mark.parametrize("part", ["result", "data"])
def test_a_frame_that_nests_too_deep_is_refused(part: str) -> None:
    """What a hostile child sends past our code stays with the worker: a result, or a display."""
    assert frames._header(json.dumps({part: nested(DEEPEST - 2)}).encode())  # pyright: ignore
    with pytest.raises(FrameError, match="deeper than"):
        frames._header(json.dumps({part: nested(900)}).encode())  # pyright: ignore
    wide = {part: [[n] for n in range(5000)]}
    assert frames._header(json.dumps(wide).encode()) == wide  # pyright: ignore
