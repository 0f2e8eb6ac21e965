"""What a stream of inputs needs on the other side before it can be opened: the user's own modules
and imported submodules.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from mecapy_jupyter.travel.environment import (
    cell_sources,
    module_importer,
    module_state,
    patches,
    process_state,
    setup_cells,
    user_modules,
)


def make(
    own: Sequence[str],
    values: Mapping[str, Any],
    words: Sequence[str],
    imports: Sequence[str] = (),
    cells: Iterable[str] = (),
) -> dict[str, Any]:
    """`own`: the user's own modules that the values need; `words`: the identifiers in the code;
    `imports`: modules the code imports; `cells`: files of the functions that the values hold.

    Returns plain data: `modules` (sources), `imports` (submodules to import), `states` (pickles of
    what own modules hold by now, opened when they are first imported), `ambient` (see `ambient`; a
    cell that reads and imports nothing sees little of it), `cells` (see `celltexts`).
    """
    sources = user_modules.collect([*own, *imports])
    loaded = {
        source.name: sys.modules[source.name] for source in sources if source.name in sys.modules
    }
    made = frozenset(name for name, module in loaded.items() if module_state.is_made(module))
    cells = set(cells)
    states = {
        name: module_state.pickled(module_state.of(module, user_modules.is_own), made, cells)
        for name, module in loaded.items()
    }
    patched = patches.current(made, cells)
    return {
        "modules": [asdict(source) for source in sources],
        "imports": _submodules(values, frozenset(words)),
        "states": {name: state for name, state in states.items() if state},
        "setup": asdict(setup_cells.current()),
        "patches": [asdict(patch) for patch in patched],
        "ambient": process_state.current(() if values or imports else process_state.ALWAYS),
        "cells": cell_sources.of(cells),
    }


def install(prelude: dict[str, Any]) -> None:
    """On the other side: make the user's own modules importable, with their state, and import
    submodules.
    """
    sources = [module_importer.ModuleSource(**source) for source in prelude["modules"]]
    module_importer.install(sources, prelude["states"])
    for name in prelude["imports"]:
        importlib.import_module(name)
    cell_sources.put(prelude.get("cells", {}))
    process_state.take(prelude["ambient"])
    patches.put([patches.Patch(**patch) for patch in prelude.get("patches", ())])
    if "setup" in prelude:
        setup_cells.run(setup_cells.Sent(**prelude["setup"]))


def _submodules(values: Mapping[str, Any], words: frozenset[str]) -> list[str]:
    """`import scipy` alone does not import scipy.sparse.linalg; what is imported here and named in
    the code is imported there.
    """
    tops = tuple(
        f"{value.__name__}." for value in values.values() if isinstance(value, types.ModuleType)
    )
    return (
        [
            name
            for name in sorted(sys.modules)
            if name.startswith(tops) and words.issuperset(name.split(".")[1:])
        ]
        if tops
        else []
    )
