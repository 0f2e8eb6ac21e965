"""Folders that the notebook has added to `sys.path`, for imports whose names only the cell knows
(`importlib.import_module(name)`). Those inside the notebook's folder lead into that of the other
side.
"""

from __future__ import annotations

import os
import sys

_fresh: list[str] = list(sys.path)


def begin() -> None:
    """Count what is added from here on."""
    _fresh[:] = sys.path


def get() -> tuple[tuple[str, bool, bool], ...] | None:
    """Path from the current folder, whether it stands as an absolute one, whether in front."""
    here = os.getcwd()  # noqa: PTH109 what every child loads costs it pages
    found = list[tuple[str, bool, bool]]()
    for place, entry in enumerate(sys.path):
        if type(entry) is not str or not entry or entry in _fresh:
            continue
        inside = entry == here or entry.startswith(here + os.sep)
        path = os.path.relpath(entry, here) if inside else entry
        found.append((path, inside, any(known in _fresh for known in sys.path[place:])))
    return tuple(found) or None


def put(state: tuple[tuple[str, bool, bool], ...]) -> None:
    held = {os.path.abspath(entry) for entry in sys.path if entry}  # noqa: PTH100
    new = list[tuple[str, bool]]()
    for path, absolute, in_front in state:
        entry = os.path.abspath(path) if absolute else path  # noqa: PTH100
        if os.path.abspath(entry) not in held:  # noqa: PTH100
            new.append((entry, in_front))
    sys.path[:0] = [entry for entry, in_front in new if in_front]
    sys.path += [entry for entry, in_front in new if not in_front]
