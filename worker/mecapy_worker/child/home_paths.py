"""Paths of the task's folder in what a cell shows: they lead into the notebook's folder, as if the
cell had run there. Part of the child.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

_SEARCHED_BYTES = 16 << 20
"""No more is searched of what comes home: it takes 15 ms."""
_folders: list[str] = []
"""The task's and the notebook's; empty where no notebook is known."""


def begin(folder: str, home: str) -> None:
    _folders[:] = [folder, home] if home else []


def shown(text: str) -> str:
    """A text as the notebook would show it."""
    if _folders and _folders[0] in text:
        return text.replace(_folders[0], _folders[1])
    return text


def shown_in(data: Mapping[str, Any]) -> dict[str, Any]:
    """A display as the notebook would show it."""
    return {kind: shown(part) if type(part) is str else part for kind, part in data.items()}


def named_in(parts: Iterable[Any]) -> bool:
    """Whether one of these buffers names the task's folder."""
    if not _folders:
        return False
    pattern, left = re.compile(re.escape(_folders[0].encode())), _SEARCHED_BYTES
    for part in parts:
        view = memoryview(part).cast("B")[:left]
        left -= view.nbytes
        if pattern.search(view) is not None:
            return True
    return False
