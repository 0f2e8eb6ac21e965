"""The first object of a stream of inputs: the user's own modules and imported submodules, without
which the others cannot be opened.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from mecapy_jupyter.travel.environment import (
    cell_sources,
    executed_source,
    fingerprint,
    held_objects,
    module_importer,
    module_paths,
    module_sources,
    module_state,
    module_text,
    patches,
    process_state,
    recorded_calls,
    repeated_import,
    setup_cells,
    surroundings,
    user_modules,
)


def make(
    module_names: Sequence[str],
    values: Mapping[str, Any],
    words: Sequence[str],
    imports: Sequence[str] = (),
    cells: Iterable[str] = (),
    own: user_modules.OwnSources | None = None,
) -> dict[str, Any]:
    """Returns plain data: `modules` and `texts` (see `module_sources`), `imports` (submodules to
    import), `again` (what the code imports of the user's loaded modules: their import comes before
    their state, which the import of another may change), `made` (pickles of the state of modules
    created at run time, opened after their first import), `ambient` (state of the process; a cell
    that reads and imports nothing gets little of it), `surroundings` and `cells` (see there).

    `module_names`: the user's own modules that the values need; `words`: identifiers in the code;
    `imports`: modules that the code imports; `cells`: files of the functions in the values; `own`:
    what this submission has collected already.
    """
    sources = (own or user_modules.OwnSources()).of([*module_names, *imports])
    loaded = {
        source.name: sys.modules[source.name] for source in sources if source.name in sys.modules
    }
    made = frozenset(name for name, module in loaded.items() if module_state.is_made(module))
    cells = set(cells)
    states = {name: module_state.of(loaded[name], user_modules.is_own) for name in sorted(made)}
    patched = patches.current(made, cells)
    submodules, salt = _submodules(values, frozenset(words)), fingerprint.new_salt()
    used = _used(values, imports, submodules) - {source.name for source in sources}
    return {
        **module_sources.placed(sources),
        "imports": submodules,
        "again": [name for name in imports if name in loaded],
        "made": {name: module_state.pickled(held, made, cells) for name, held in states.items()},
        "fingerprint": fingerprint.of(used, salt),
        "used": sorted(used),
        "salt": salt,
        "setup": asdict(setup_cells.current()),
        "patches": [asdict(patch) for patch in patched],
        "ambient": process_state.current(() if values or imports else process_state.ALWAYS),
        "surroundings": surroundings.now(words, values, [source.source for source in sources]),
        "cells": cell_sources.of(cells),
    }


class ModuleStates:
    """The state of the user's own modules for one submission. It travels with the values
    (`payload.pack`). Each is read once. `imports`: modules that the code imports.
    """

    def __init__(
        self, own: user_modules.OwnSources | None = None, imports: Sequence[str] = ()
    ) -> None:
        self._own, self._imports = own or user_modules.OwnSources(), imports
        self._read: module_state.States = {}
        self._is_own = functools.cache(user_modules.is_own)

    def __call__(self, module_names: Sequence[str]) -> module_state.States:
        """The state of these modules and of those that they need, and of those before."""
        for source in self._own.of([*module_names, *self._imports]):
            module = sys.modules.get(source.name)
            if source.name in self._read or module is None or module_state.is_made(module):
                continue
            _, bound = module_text.read(source.source, source.name, source.is_package)
            self._read[source.name] = module_state.of(module, self._is_own) | {
                name: module_paths.Unbound for name in bound if module_paths.lacks(module, name)
            }
        return {name: state for name, state in self._read.items() if state}


def install(prelude: dict[str, Any]) -> None:
    """On the other side: make the user's own modules importable, with their state, and import
    submodules.
    """
    module_importer.install(
        module_sources.opened(prelude), prelude["made"], repeated_import.without_effects
    )
    for name in prelude["imports"]:
        importlib.import_module(name)
    cell_sources.put(prelude.get("cells", {}))
    recorded_calls.begin()
    process_state.surround(prelude.get("surroundings", {}))
    process_state.take(prelude["ambient"])
    for name in prelude["again"]:
        with contextlib.suppress(Exception):  # the cell's own import raises it
            importlib.import_module(name)
    patches.put([patches.Patch(**patch) for patch in prelude.get("patches", ())])
    if "setup" in prelude:
        setup_cells.run(setup_cells.SentSetup(**prelude["setup"]))
        fingerprint.compare(prelude["fingerprint"], prelude["salt"])


def begin(
    prelude: dict[str, Any], placed: list[patches.Replacement], held: held_objects.Held
) -> None:
    """On the other side, when all is opened: set what came with the variables, and remember the
    settings of modules. What the cell sets there counts from here on.
    """
    patches.put(placed)
    held_objects.put(held)
    if "setup" in prelude:
        fingerprint.begin(prelude.get("used", ()), prelude["salt"])


def add_modules(prelude: dict[str, Any]) -> None:
    """Add modules of another task, whose result is opened here, that this one does not bring."""
    known = module_importer.served.sources
    sources = [one for one in module_sources.opened(prelude) if one.name not in known]
    names = {source.name for source in sources}
    made = {name: state for name, state in prelude["made"].items() if name in names}
    module_importer.add(sources, made)
    for name in prelude["imports"]:
        importlib.import_module(name)
    cell_sources.put(prelude.get("cells", {}))


def _used(values: Mapping[str, Any], imports: Iterable[str], submodules: Iterable[str]) -> set[str]:
    """Modules that the cell, or a function of the notebook among its values, names."""
    found, named = {*imports, *submodules}, set[str]()
    todo, done = list(values.values()), set[int]()
    while todo:
        value = todo.pop()
        if issubclass(type(value), types.ModuleType):
            found.add(value.__name__)
        elif type(value) is types.FunctionType and id(value) not in done:
            done.add(id(value))
            names = {
                name for code in executed_source.codes(value.__code__) for name in code.co_names
            }
            todo.extend(value.__globals__[name] for name in names if name in value.__globals__)
            named |= names
    inner = {f"{module}.{name}" for module in found for name in named}
    return found | {name for name in inner if name in sys.modules}


def _submodules(values: Mapping[str, Any], words: frozenset[str]) -> list[str]:
    """`import scipy` alone does not import scipy.sparse.linalg. A submodule that is imported here
    and named in the code is imported there too.
    """
    tops = tuple(
        f"{value.__name__}."
        for value in values.values()
        if issubclass(type(value), types.ModuleType)
    )
    if tops:
        return [
            name
            for name in sorted(sys.modules)
            if name.startswith(tops) and words.issuperset(name.split(".")[1:])
        ]
    return []
