"""Imports user-defined modules from memory: the child's side of `user_modules`.

Each is imported from its source, so that locks and threads, which cannot be pickled, are created
here. The notebook's state is set when the import is over.
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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, cast

from mecapy_jupyter.travel.environment import module_state, shared_objects
from mecapy_jupyter.travel.hooks import import_frames


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
        self.states: dict[str, Mapping[str, bytes]] = {}
        """Name → path → pickle, opened after the module's first import."""
        self.begun: dict[str, dict[str, bytes]] = {}
        """The state of each module before the cell."""
        self.folder = ""
        """The folder where the cell starts; empty: the current one."""
        self.shared: shared_objects.Shared = {}
        self.inside: shared_objects.Inner = {}
        self.variables: dict[str, Any] = {}
        """The cell's inputs by name, once they are opened."""
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
                data = self.states.pop(module.__name__, {})
                opened = {path: pickle.loads(pickled) for path, pickled in data.items()}  # noqa: S301 the child's own inputs
                held = {
                    path: value
                    for path, value in opened.items()
                    if not self._is_this_place(module, path, value)
                }
                module_state.restore(module, held)
                self._join(module)
                self.begun.setdefault(module.__name__, _held(module))  # there already: reloaded
        finally:
            self._importing -= 1

    def _is_this_place(self, module: types.ModuleType, path: str, value: object) -> bool:
        """Whether it is a path that the module makes from its own (`Path(__file__).parent`): here
        the import has made it of the file's place here.
        """
        source = self.sources[module.__name__]
        if not source.beside or not isinstance(value, (str, PurePath)):
            return False
        inside, _, name = path.rpartition(".")
        holder: Any = getattr(module, inside, None) if inside else module
        fresh: object = getattr(holder, name, None)
        home = source.filename.removesuffix(source.beside).rstrip("/\\")
        here = self._file_here(source.name).removesuffix(source.beside).rstrip("/\\")
        at_home, rest = str(value).startswith(home), str(value).removeprefix(home)
        return at_home and type(fresh) is type(value) and str(fresh) == here + rest

    def join(self, variables: dict[str, Any]) -> None:
        """Called when the inputs are opened: modules that share objects with the notebook get
        these.
        """
        self.variables = variables
        for name in self.begun:
            if (module := sys.modules.get(name)) is not None:
                self._join(module)

    def _join(self, module: types.ModuleType) -> None:
        others = [sys.modules[name] for name in self.sources if name in sys.modules]
        names = self.shared.get(module.__name__, {})
        shared_objects.join(module, names, self.variables, others)
        shared_objects.join_inside(module, self.inside.get(module.__name__, ()), self.variables)

    def moved(self, module: types.ModuleType) -> dict[str, bytes]:
        """Path → pickle of what has changed; nothing for what is gone."""
        before, names = self.begun[module.__name__], self.shared.get(module.__name__, {})
        still = shared_objects.still(module, names, self.variables)
        now = _held(module)
        gone = {path: b"" for path in before.keys() - now if not module_state.has(module, path)}
        return gone | {
            path: data
            for path, data in now.items()
            if path not in still and before.get(path) != data
        }

    def is_package(self, fullname: str) -> bool:
        return self.sources[fullname].is_package


served = _Served()


def _held(module: types.ModuleType) -> dict[str, bytes]:
    return module_state.pickled(module_state.of(module, is_served), frozenset())


def is_served(module: types.ModuleType) -> bool:
    return getattr(module, "__loader__", None) is served


def changed() -> dict[str, dict[str, bytes]] | None:
    """Name → path → pickle of what the cell changed in its modules; None if nothing."""
    found = {
        name: new
        for name in served.begun
        if (module := sys.modules.get(name)) is not None and (new := served.moved(module))
    }
    return found or None


def take(changes: Mapping[str, Mapping[str, bytes]]) -> None:
    """In the kernel: apply a cell's changes to the modules of the same names."""
    for name, data in changes.items():
        if (module := sys.modules.get(name)) is not None:
            module_state.delete(module, [path for path, pickled in data.items() if not pickled])
            opened = {path: pickle.loads(pickled) for path, pickled in data.items() if pickled}  # noqa: S301 the owner's own results
            module_state.restore(module, opened)


def install(
    sources: Iterable[ModuleSource],
    states: Mapping[str, Mapping[str, bytes]] | None = None,
    shared: shared_objects.Shared | None = None,
    inside: shared_objects.Inner | None = None,
) -> None:
    """Make these modules importable in this process, instead of others of the same names;
    tracebacks show their lines. `states`: the notebook's state (name → path → pickle), set after
    the first import. `shared`, `inside`: objects that they share with variables, which
    `served.join` gets.
    """
    served.shared, served.inside, served.variables = shared or {}, inside or {}, {}
    add(sources, states or {})


def add(sources: Iterable[ModuleSource], states: Mapping[str, Mapping[str, bytes]]) -> None:
    """Like `install`, beside those that are here."""
    served.states.update(states)
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
