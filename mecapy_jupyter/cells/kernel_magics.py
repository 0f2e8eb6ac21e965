"""Magics of this kernel that a task does not have: of extensions, and user-defined ones."""

from __future__ import annotations

import re
from typing import Any

from IPython.core.alias import default_aliases

from mecapy_jupyter.shared import errors

_CALLED = re.compile(r"get_ipython\(\)\.run_(line|cell)_magic\('(\w+)'")
_LOADS = re.compile(r"run_line_magic\('(load_ext|reload_ext|autoreload)'|register_\w*magic")


def check(python: str, shell: Any, above: int) -> None:
    """Raises CannotSend for the first such magic. `python`: the cell as IPython transforms it;
    `above`: lines of the cell above it.
    """
    if _LOADS.search(python):
        return
    for call in _CALLED.finditer(python):
        kind, name = call.groups()
        found = shell.magics_manager.magics[kind].get(name)
        if found is not None and not _is_everywhere(name, found):
            line = python.count("\n", 0, call.start()) + 1 + above
            raise errors.CannotSend(
                f"line {line} uses `{('%' if kind == 'line' else '%%')}{name}`, a "
                "magic of this kernel that workers do not have; run it in a cell of "
                "its own without %%mecapy, and use its result in this cell"
            )


def _is_everywhere(name: str, found: Any) -> bool:
    """Whether every shell has it: IPython's own, and not a user's alias."""
    owner = getattr(found, "__self__", None)
    if type(found).__name__ in ("Alias", "MagicAlias"):
        return name in {alias for alias, _ in default_aliases()}
    home = type(owner).__module__ if owner is not None else str(found.__module__)
    return home.startswith("IPython.core.")
