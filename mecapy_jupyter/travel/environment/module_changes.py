"""The kernel's side of `module_importer`: what a cell changed in the user's own modules."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from mecapy_jupyter.travel.environment import module_paths, module_state, user_modules
from mecapy_jupyter.travel.environment.module_importer import Moved
from mecapy_jupyter.travel.environment.module_state import States


def apply(changes: Mapping[str, Moved]) -> None:
    """Apply a cell's changes to the modules of the same names."""
    for name, (moved, gone) in changes.items():
        if (module := sys.modules.get(name)) is not None:
            module_paths.restore(module, moved)
            module_paths.delete(module, gone)


def standing() -> States:
    """What the modules hold now."""
    loaded = {name: sys.modules[name] for name in user_modules.loaded()}
    return {name: module_state.of(one, user_modules.is_own) for name, one in loaded.items()}


def apart(changes: Mapping[str, Moved], before: States) -> tuple[dict[str, Moved], dict[str, Any]]:
    """A cell's changes of what stands as it did `before`, and by `module.name` its values of what
    was changed here too; None for what it deleted.
    """
    now, free, theirs = standing(), dict[str, Moved](), dict[str, Any]()
    for name, (moved, gone) in changes.items():
        was, held = before.get(name, {}), now.get(name, {})
        here = {p for p in (*moved, *gone) if not module_state.same(was.get(p), held.get(p))}
        theirs |= {f"{name}.{path}": moved.get(path) for path in here}
        free[name] = (
            {path: value for path, value in moved.items() if path not in here},
            [path for path in gone if path not in here],
        )
    return free, theirs


def reopened(states: States) -> Callable[[], None]:
    """In a kernel that opened the inputs again: the result gives to the modules here what the task
    has changed in these objects meanwhile.
    """
    before = {name: module_state.pickled(held) for name, held in states.items()}

    def give() -> None:
        for name, held in states.items():
            if (module := sys.modules.get(name)) is not None:
                now = module_state.pickled(held)
                changed = {p: value for p, value in held.items() if before[name].get(p) != now[p]}
                module_paths.restore(module, changed)

    return give
