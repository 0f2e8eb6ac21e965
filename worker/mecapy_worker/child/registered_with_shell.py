"""What a cell registers with the shell, which the notebook's shell does not get: magics, aliases,
callbacks of events and handlers of exceptions. It is reported by name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from IPython.core.alias import Alias
from IPython.core.magic import MagicAlias

from mecapy_jupyter.shared.units import listed
from mecapy_jupyter.travel.environment import state_pickler


def names(shell: Any) -> list[tuple[str, object]]:
    """What is registered now, and what it is called in a report."""
    return [*_magics(shell), *_callbacks(shell), *_handlers(shell)]


def said(before: list[tuple[str, object]], shell: Any) -> list[str]:
    """A sentence about what was not registered before, or nothing."""
    known = {(name, id(one)) for name, one in before}
    new = [name for name, one in names(shell) if (name, id(one)) not in known]
    if not new:
        return []
    return [
        f"{listed(new)}, which the cell registered with IPython, did not come home; register "
        f"{'it' if len(new) == 1 else 'them'} in a cell without %%mecapy"
    ]


def _magics(shell: Any) -> Iterator[tuple[str, object]]:
    for kind, sign in (("line", "%"), ("cell", "%%")):
        for name, magic in shell.magics_manager.magics[kind].items():
            function = getattr(magic, "__func__", magic)
            if isinstance(function, (Alias, MagicAlias)) or state_pickler.is_users(function):
                yield f"the magic {sign}{name}", function


def _callbacks(shell: Any) -> Iterator[tuple[str, object]]:
    for event, callbacks in shell.events.callbacks.items():
        for callback in callbacks:
            if state_pickler.is_users(getattr(callback, "__func__", callback)):
                yield f"the callback of {event}", callback


def _handlers(shell: Any) -> Iterator[tuple[str, object]]:
    for kind in shell.custom_exceptions:
        yield f"the handler of {kind.__name__}", kind
