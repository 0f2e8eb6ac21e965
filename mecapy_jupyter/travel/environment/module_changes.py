"""The kernel's side of `module_importer`: what a cell changed in the user's own modules."""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
from collections.abc import Callable, Mapping

from mecapy_jupyter.travel.environment import module_paths, module_state
from mecapy_jupyter.travel.environment.module_importer import Moved
from mecapy_jupyter.travel.environment.module_state import States


def apply(changes: Mapping[str, Moved]) -> None:
    """Apply a cell's changes to the modules of the same names."""
    for name, (moved, gone) in changes.items():
        if name not in sys.modules:  # a function of the cell has imported it
            with contextlib.suppress(Exception), contextlib.redirect_stdout(io.StringIO()):
                importlib.import_module(name)
        if (module := sys.modules.get(name)) is not None:
            module_paths.restore(module, moved)
            module_paths.delete(module, gone)


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
