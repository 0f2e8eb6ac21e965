"""Folders that the notebook has added to `sys.path`, for imports whose names only the cell knows
(`importlib.import_module(name)`). Those inside the notebook's folder lead into that of the other
side.
"""

from __future__ import annotations

import os
import sys

Place = tuple[str, bool]
"""Path from the current folder, and whether it stands as an absolute one."""
State = tuple[tuple[tuple[Place, bool], ...], tuple[Place, ...]]
"""What was added, whether in front; and what had come from the other side and is gone."""

_fresh: list[str] = list(sys.path)
_taken: dict[str, Place] = {}
"""Entries that came from the other side."""


def begin() -> None:
    """Count what is added from here on."""
    _fresh[:] = sys.path
    _taken.clear()


def get() -> State | None:
    here = os.getcwd()  # noqa: PTH109 what every child loads costs it pages
    found = list[tuple[Place, bool]]()
    for place, entry in enumerate(sys.path):
        if type(entry) is not str or not entry or entry in _fresh:
            continue
        inside = entry == here or entry.startswith(here + os.sep)
        path = os.path.relpath(entry, here) if inside else entry
        found.append(((path, inside), any(known in _fresh for known in sys.path[place:])))
    gone = tuple(where for entry, where in _taken.items() if entry not in sys.path)
    return (tuple(found), gone) if found or gone else None


def put(state: State) -> None:
    added, gone = state
    held = {os.path.abspath(entry) for entry in sys.path if entry}  # noqa: PTH100
    new = list[tuple[str, bool]]()
    for where, in_front in added:
        entry = _entry(*where)
        if os.path.abspath(entry) not in held:  # noqa: PTH100
            new.append((entry, in_front))
    sys.path[:0] = [entry for entry, in_front in new if in_front]
    sys.path += [entry for entry, in_front in new if not in_front]
    _taken.update({entry: where for where, _ in added if (entry := _entry(*where)) in sys.path})
    for entry in {_entry(*where) for where in gone}.intersection(sys.path):
        sys.path.remove(entry)


def _entry(path: str, is_absolute: bool) -> str:
    return os.path.abspath(path) if is_absolute else path  # noqa: PTH100
