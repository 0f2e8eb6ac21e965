"""Imports user-defined modules from memory: the child's side of `user_modules`.

Each is imported from its source, so that locks and threads, which cannot be pickled, are created
here. The notebook's state is set when the import is over and the inputs are opened: it comes with
them, so that what a module shares with a variable or with another module is one object.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.readers
import importlib.util
import linecache
import pickle
import sys
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, cast

from mecapy_jupyter.travel.environment import module_state, state_pickler
from mecapy_jupyter.travel.environment.module_state import States
from mecapy_jupyter.travel.hooks import import_frames

Moved = tuple[dict[str, Any], list[str]]
"""Path → value, and the paths that are gone."""


@dataclass(frozen=True, slots=True)
class ModuleSource:
    """One module as text. `filename`: its file in the notebook's machine, for tracebacks. `beside`:
    its path from the notebook's folder, or empty if it is elsewhere.
    """

    name: str
    is_package: bool
    source: str
    filename: str
    beside: str = ""


class _Served(importlib.abc.MetaPathFinder, importlib.abc.ExecutionLoader):
    """Imports modules from memory, and only the given ones."""

    def __init__(self) -> None:
        self.sources: dict[str, ModuleSource] = {}
        self.made: dict[str, Mapping[str, bytes]] = {}
        """Name → path → pickle, of modules created at run time."""
        self.states: States | None = None
        """Of the others, once the inputs are opened."""
        self.lost: Mapping[str, str] = {}
        self.begun: States = {}
        """The state of each module before the cell."""
        self.folder = ""
        """The folder where the cell starts; empty: the current one."""
        self._importing = 0
        self._imported: list[types.ModuleType] = []

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self.sources:
            return None
        spec = importlib.util.spec_from_loader(fullname, self)
        if spec is not None and (here := self._file_here(fullname)):
            spec.origin = here
            if spec.submodule_search_locations is not None:
                spec.submodule_search_locations[:] = [str(Path(here).parent)]
        return spec

    def _file_here(self, fullname: str) -> str:
        """The path that its file would have in the task's folder."""
        beside = self.sources[fullname].beside
        return str(Path(self.folder).absolute() / beside) if beside else ""

    def get_data(self, path: str) -> bytes:
        """What `pkgutil.get_data` asks for."""
        return Path(path).read_bytes()

    def get_source(self, fullname: str) -> str:
        return self.sources[fullname].source

    def get_filename(self, fullname: str) -> str:
        return self.sources[fullname].filename

    def get_resource_reader(self, fullname: str) -> importlib.readers.FileReader:
        """For `importlib.resources`: the folder its file would stand in."""
        path = self._file_here(fullname) or self.get_filename(fullname)
        return importlib.readers.FileReader(
            cast("importlib.machinery.SourceFileLoader", types.SimpleNamespace(path=path))
        )

    @import_frames.left_out
    def exec_module(self, module: types.ModuleType) -> None:
        """Run its source. Not before a cell needs it, because an import may take seconds."""
        self._importing += 1
        try:
            super().exec_module(module)
        finally:
            self._importing -= 1
        self._imported.append(module)
        if not self._importing:
            self._restore_all()

    def _restore_all(self) -> None:
        """Only now, because opening the state may need any module of the package whose `__init__`
        was running. Modules imported by it are restored in the same round.
        """
        self._importing += 1
        try:
            while self._imported:
                module = self._imported.pop(0)
                data = self.made.pop(module.__name__, {})
                opened = {path: pickle.loads(pickled) for path, pickled in data.items()}  # noqa: S301 the child's own inputs
                module_state.restore(module, opened)
                if self.states is not None:
                    self._begin(module)
        finally:
            self._importing -= 1

    def take(self, states: States, lost: Mapping[str, str] | None = None) -> None:
        """Called when the inputs are opened, of this task or of one whose result it needs. What is
        imported later gets its state then. `lost`: modules whose state cannot be opened here, with
        the reason.
        """
        self.states, self.lost = {**(self.states or {}), **states}, lost or {}
        for name in self.sources:
            if (module := sys.modules.get(name)) is not None and is_served(module):
                self._begin(module)

    def _begin(self, module: types.ModuleType) -> None:
        if (why := self.lost.get(module.__name__)) is not None:
            raise ImportError(f"the state of your module {module.__name__} cannot be opened: {why}")
        held = (self.states or {}).pop(module.__name__, {})
        here = {
            path: value
            for path, value in held.items()
            if not self._is_this_place(module, path, value)
        }
        module_state.restore(module, here)
        if held or module.__name__ not in self.begun:  # not one that is reloaded
            self.begun[module.__name__] = _state(module)

    def _is_this_place(self, module: types.ModuleType, path: str, value: object) -> bool:
        """Whether it is a path that the module makes from its own (`Path(__file__).parent`): here
        the import has made it of the file's place here.
        """
        source = self.sources[module.__name__]
        if not source.beside or not isinstance(value, (str, PurePath)):
            return False
        fresh = module_state.held_at(module, path)
        home = source.filename.removesuffix(source.beside).rstrip("/\\")
        here = self._file_here(source.name).removesuffix(source.beside).rstrip("/\\")
        at_home, rest = str(value).startswith(home), str(value).removeprefix(home)
        return at_home and type(fresh) is type(value) and str(fresh) == here + rest

    def moved(self, module: types.ModuleType) -> Moved | None:
        """What is another object now, and what is gone. What changed in place travels as the inputs
        do.
        """
        before, now = self.begun[module.__name__], _state(module)
        moved = {
            path: value
            for path, value in now.items()
            if path not in before or not module_state.same(before[path], value)
        }
        moved = {path: value for path, value in moved.items() if state_pickler.dumps(value)}
        gone = [path for path in before.keys() - now if not module_state.has(module, path)]
        return (moved, gone) if moved or gone else None

    def is_package(self, fullname: str) -> bool:
        return self.sources[fullname].is_package


served = _Served()


def _state(module: types.ModuleType) -> dict[str, Any]:
    return module_state.of(module, is_served)


def is_served(module: types.ModuleType) -> bool:
    return getattr(module, "__loader__", None) is served


def namespaces() -> list[dict[str, Any]]:
    """Of the modules that it has imported here."""
    loaded = [sys.modules.get(name) for name in served.sources]
    return [vars(module) for module in loaded if module is not None and is_served(module)]


def is_new(name: str, attribute: str, value: object) -> bool:
    """Whether the cell put it in the place of another object of the module."""
    return served.begun.get(name, {}).get(attribute, value) is not value


def changed() -> dict[str, Moved] | None:
    """By name, what the cell bound anew in its modules, and what it deleted; None if nothing."""
    found = {
        name: new
        for name in served.begun
        if (module := sys.modules.get(name)) is not None and (new := served.moved(module))
    }
    return found or None


def apply(changes: Mapping[str, Moved]) -> None:
    """In the kernel: apply a cell's changes to the modules of the same names."""
    for name, (moved, gone) in changes.items():
        if (module := sys.modules.get(name)) is not None:
            module_state.restore(module, moved)
            module_state.delete(module, gone)


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
                module_state.restore(module, changed)

    return give


def install(
    sources: Iterable[ModuleSource], made: Mapping[str, Mapping[str, bytes]] | None = None
) -> None:
    """Make these modules importable in this process, instead of others of the same names;
    tracebacks show their lines. `made`: the state of those created at run time (name → path →
    pickle), set after the first import.
    """
    served.states = None
    add(sources, made or {})


def add(sources: Iterable[ModuleSource], made: Mapping[str, Mapping[str, bytes]]) -> None:
    """Like `install`, beside those that are here."""
    served.made.update(made)
    for module in sources:
        served.sources[module.name] = module
        loaded = sys.modules.get(module.name)
        if loaded is not None and not is_served(loaded):
            del sys.modules[module.name]
        lines = module.source.splitlines(keepends=True)
        # no mtime: never looked for on disk
        linecache.cache[module.filename] = len(module.source), None, lines, module.filename
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
