"""The modules that a pickler meets: the user's own, and the others."""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable
from contextlib import suppress

from mecapy_jupyter.travel.environment import executed_source, module_text, user_modules


class SeenModules:
    def __init__(self, on_own: Callable[[str], object]) -> None:
        self._on_own = on_own
        self._seen: dict[str, bool] = {}

    def is_own(self, module: str) -> bool:
        """Whether `module` is the user's own; reported to `on_own` the first time."""
        if module not in self._seen:
            loaded = sys.modules.get(module) or _loaded_late(module)
            own = module != "__main__" and loaded is not None and user_modules.is_own(loaded)
            self._seen[module] = own
            if own:
                self._on_own(module)
        return self._seen[module]

    def may_be_imported_by(self, code: types.CodeType) -> None:
        """Report what a function may import, also what is not loaded yet."""
        for name in module_text.imported_by(code):
            if name not in sys.modules:
                self._on_own(name)
        names = {name for part in executed_source.codes(code) for name in part.co_names}
        if not module_text.IMPORTERS.isdisjoint(names):
            names.update(user_modules.loaded())
        for name in names & sys.modules.keys():
            self.is_own(name)

    def others(self) -> frozenset[str]:
        """The other modules that it met."""
        return frozenset(name for name, own in self._seen.items() if name and not own)


def _loaded_late(module: str) -> types.ModuleType | None:
    """A module whose name is only an attribute of a loaded package so far (`numpy.rec`, of
    `np.recarray`). Without this, its contents would be copied like the notebook's.
    """
    if module.partition(".")[0] in sys.modules and "." in module:
        with suppress(Exception):  # no such module, or one whose import fails
            return importlib.import_module(module)
    return None
