"""What a cell registers with the shell, which the notebook's shell does not get: magics, aliases,
callbacks of events and handlers of exceptions. It is reported by name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice
from typing import Any, cast

from IPython.core.alias import Alias
from IPython.core.magic import MagicAlias

from mecapy_jupyter.shared.units import listed
from mecapy_jupyter.travel.environment import state_pickler


def counts(shell: Any) -> list[int]:
    """How much is registered. No more is looked at before each cell: a look at every magic would
    cost the child a copy of its page.
    """
    return [len(held) for _, held in _registries(shell)]


def said(before: list[int], shell: Any) -> list[str]:
    """A sentence about what was added since then, or nothing."""
    new = [
        name
        for (what, held), count in zip(_registries(shell), before, strict=True)
        if len(held) > count
        for one in islice(held, count, None)
        if (name := _name(what, one))
    ]
    if not new:
        return []
    return [
        f"{listed(new)}, which the cell registered with IPython, did not come home; register "
        f"{'it' if len(new) == 1 else 'them'} in a cell without %%mecapy"
    ]


def _registries(shell: Any) -> Iterator[tuple[str, Collection[Any]]]:
    """What their members are called, and the members, the last added last."""
    for kind, sign in (("line", "%"), ("cell", "%%")):
        yield f"the magic {sign}", shell.magics_manager.magics[kind].items()
    for event, callbacks in shell.events.callbacks.items():
        yield f"the callback of {event}", callbacks
    yield "the handler of ", shell.custom_exceptions


def _name(what: str, one: Any) -> str:
    """Empty for one that is not the user's."""
    if isinstance(one, type):
        return f"{what}{one.__name__}"
    name, function = cast("tuple[str, Any]", one if isinstance(one, tuple) else ("", one))
    function: Any = getattr(function, "__func__", function)
    is_users = isinstance(function, (Alias, MagicAlias)) or state_pickler.is_users(function)
    return f"{what}{name}" if is_users else ""
