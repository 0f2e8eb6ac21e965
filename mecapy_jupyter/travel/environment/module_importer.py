"""Modules imported from memory, where their files are not: the child's side of `modules`.

Each is imported anew from its source, so what a pickle could not carry (locks, threads) is made
there.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
import linecache
import pickle
import sys
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import cloudpickle


@dataclass(frozen=True, slots=True)
class ModuleSource:
    """One module as text. `filename` is where it stands at home, for tracebacks."""

    name: str
    is_package: bool
    source: str
    filename: str


def restore(module: types.ModuleType, attributes: Mapping[str, Any]) -> None:
    """Give a freshly imported module the state it has at home.

    What is equal stays the object it is, and containers keep their identity: functions and other
    modules know them already.
    """
    for name, value in attributes.items():
        fresh = vars(module).get(name)
        if name in vars(module) and _pickled(fresh) == _pickled(value):
            continue
        if type(fresh) is type(value) and isinstance(fresh, (dict, set, list)):
            holder = cast("Any", fresh)
            holder.clear()
            (holder.extend if isinstance(fresh, list) else holder.update)(value)
        else:
            setattr(module, name, value)


def _pickled(value: object) -> bytes | None:
    try:
        return cloudpickle.dumps(value)
    except Exception:
        return None


class _Served(importlib.abc.MetaPathFinder, importlib.abc.ExecutionLoader):
    """Imports modules from memory, and only those it was given."""

    def __init__(self) -> None:
        self.sources: dict[str, ModuleSource] = {}
        self.states: dict[
            str, Mapping[str, bytes]
        ] = {}  # name → attribute → pickle, opened when the module is first imported

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        return importlib.util.spec_from_loader(fullname, self) if fullname in self.sources else None

    def get_source(self, fullname: str) -> str:
        return self.sources[fullname].source

    def get_filename(self, fullname: str) -> str:
        return self.sources[fullname].filename

    def exec_module(self, module: types.ModuleType) -> None:
        """Run its source, then give it the state it has at home. Not before a cell asks for it: an
        import may take seconds.
        """
        super().exec_module(module)
        attributes = self.states.pop(module.__name__, {})
        restore(module, {name: pickle.loads(pickled) for name, pickled in attributes.items()})  # noqa: S301 the child's own inputs

    def is_package(self, fullname: str) -> bool:
        return self.sources[fullname].is_package


served = _Served()


def install(
    sources: Iterable[ModuleSource], states: Mapping[str, Mapping[str, bytes]] | None = None
) -> None:
    """Make these modules importable in this process, in the place of any others of the same names;
    their lines show in tracebacks.

    `states`: what each held at home (name → attribute → pickle); it has it from its first import
    on.
    """
    served.states.update(states or {})
    for module in sources:
        served.sources[module.name] = module
        loaded = sys.modules.get(module.name)
        if loaded is not None and getattr(loaded, "__loader__", None) is not served:
            del sys.modules[module.name]
        lines = module.source.splitlines(keepends=True)
        linecache.cache[module.filename] = (
            len(module.source),
            None,
            lines,
            module.filename,
        )  # no mtime: never looked for on disk
    if served not in sys.meta_path:
        finders = sys.meta_path
        last = next(
            (
                number
                for number, finder in enumerate(finders)
                if finder is importlib.machinery.PathFinder
            ),
            len(finders),
        )
        finders.insert(last, served)
