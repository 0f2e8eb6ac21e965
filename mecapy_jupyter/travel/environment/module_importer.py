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
import pickle
import sys
import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path, PurePath
from typing import Any, cast

from mecapy_jupyter.travel.environment import (
    module_paths,
    module_state,
    source_files,
    state_pickler,
)
from mecapy_jupyter.travel.environment.module_state import States
from mecapy_jupyter.travel.environment.source_files import ModuleSource
from mecapy_jupyter.travel.hooks import import_frames

Moved = tuple[dict[str, Any], list[str]]
"""Path → value, and the paths that are gone."""
_SEEN_BYTES = 64 << 20
"""In a larger pickle no change is looked for."""


class _Served(importlib.abc.MetaPathFinder, importlib.abc.ExecutionLoader):
    """Imports modules from memory, and only the given ones."""

    def __init__(self) -> None:
        self.sources: dict[str, ModuleSource] = {}
        self.made: dict[str, Mapping[str, bytes]] = {}
        """Name → path → pickle, of modules created at run time."""
        self.states: States | None = None
        """States of the other modules, once the inputs are opened."""
        self.lost: Mapping[str, str] = {}
        self.begun: States = {}
        """The state of each module before the cell."""
        self.names: dict[str, set[str]] = {}
        """What stood in each module before the cell."""
        self.first: dict[str, dict[str, bytes | None]] = {}
        """As above, digests, of modules that the kernel has not imported: it all may go home."""
        self.whole: set[str] = set()
        """Those of them whose state goes home."""
        self.left: dict[str, str] = {}
        """What the cell may have changed and does not go home, with the reason."""
        self.folder = ""
        """The folder where the cell starts; empty: the current one."""
        self.held: set[str] = set()
        """What the notebook has loaded, and this process has not imported yet."""
        self.marks: dict[str, source_files.Mark] = {}
        """Of the files of what it has not loaded, before the cell."""
        self.without_effects: Callable[[], AbstractContextManager[None]] = nullcontext
        self._importing = 0
        self._imported: list[types.ModuleType] = []

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: types.ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in self.sources:
            return None
        spec = importlib.util.spec_from_loader(fullname, self)
        if spec is not None and (here := self.file_here(fullname)):
            spec.origin = here
            if spec.submodule_search_locations is not None:
                spec.submodule_search_locations[:] = [str(Path(here).parent)]
        return spec

    def file_here(self, fullname: str) -> str:
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
        """Tells `importlib.resources` the folder its file would stand in."""
        path = self.file_here(fullname) or self.get_filename(fullname)
        return importlib.readers.FileReader(
            cast("importlib.machinery.SourceFileLoader", types.SimpleNamespace(path=path))
        )

    @import_frames.left_out
    def exec_module(self, module: types.ModuleType) -> None:
        """Run its source. Not before a cell needs it, because an import may take seconds."""
        self._importing += 1
        try:
            with self._around(module.__name__):
                super().exec_module(module)
        finally:
            self._importing -= 1
        self._imported.append(module)
        if not self._importing:
            self._restore_all()

    def _around(self, name: str) -> AbstractContextManager[None]:
        """A reload by the cell has its effects, and reads the file."""
        again = name in self.held
        self.held.discard(name)
        if again:
            return self.without_effects()
        here = self.file_here(name)
        if here and (name in self.begun or source_files.mark(here) != self.marks.get(name)):
            self._read_again(self.sources[name], here)
        return nullcontext()

    def _read_again(self, source: ModuleSource, path: str) -> None:
        new = self.sources[source.name] = source_files.read_again(source, path)
        source_files.show_lines(new)
        if new.source != source.source:
            self.whole.add(source.name)
            self.left[f"the code of {source.name}"] = (
                f"the cell has run {source.beside} with another text than {source.name} has here; "
                "bring the file and reload it"
            )

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
                module_paths.restore(module, opened)
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
        name = module.__name__
        if (why := self.lost.get(name)) is not None:
            raise ImportError(f"the state of your module {name} cannot be opened: {why}")
        sent = self.states or {}
        first, held = name not in sent and name not in self.begun, sent.pop(name, {})
        here = {
            path: value
            for path, value in held.items()
            if not self._is_this_place(module, path, value)
        }
        module_paths.restore(module, here)
        if held or name not in self.begun:  # not one that is reloaded
            self.begun[name], self.names[name] = _state(module), module_paths.names(module)
        if first:
            self.first[name] = _digests(self.begun[name])

    def _is_this_place(self, module: types.ModuleType, path: str, value: object) -> bool:
        source = self.sources[module.__name__]
        if not source.beside or not isinstance(value, (str, PurePath)):
            return False
        fresh = module_paths.held_at(module, path)
        return source_files.is_this_place(source, self.file_here(source.name), fresh, value)

    def moved(self, module: types.ModuleType, changed: Collection[str] = ()) -> Moved | None:
        """What is another object now, and what is gone. What changed in place travels as the inputs
        do. `changed`: modules of which something goes home, so that an import of their names there
        finds what was there before.
        """
        name, now = module.__name__, _state(module)
        before, first = self.begun[name], self.first.get(name, {})
        takes = name in self.first and source_files.takes_from(self.sources[name], changed)
        if takes or (name in self.first and _digests(now) != first):
            self.whole.add(name)
        new = {
            path: value
            for path, value in now.items()
            if path not in before or not module_state.same(before[path], value)
        }
        moved = now if name in self.whole else new
        moved = {path: value for path, value in moved.items() if state_pickler.dumps(value)}
        self.left |= {
            f"{name}.{path}": f"{type(value).__name__}: it cannot be pickled, so the module here "
            "keeps what it had; let the module hold numbers, arrays or text"
            for path, value in new.items()
            if path not in moved
        }
        if name not in self.whole:
            self.left |= {
                f"{name}.{path}": "it is too large to see whether the cell, which imported its "
                f"module first, changed it; import {name} in a cell before"
                for path, seen in first.items()
                if seen == state_pickler.TOO_LARGE
            }
        gone = {path for path in before.keys() - now if not module_paths.has(module, path)}
        gone = sorted(gone | (self.names[name] - module_paths.names(module)))
        return (moved, gone) if moved or gone else None

    def is_package(self, fullname: str) -> bool:
        return self.sources[fullname].is_package


served = _Served()


def _state(module: types.ModuleType) -> dict[str, Any]:
    return module_state.of(module, is_served)


def _digests(state: Mapping[str, Any]) -> dict[str, bytes | None]:
    return {path: state_pickler.digest(value, _SEEN_BYTES) for path, value in state.items()}


def is_served(module: types.ModuleType) -> bool:
    return getattr(module, "__loader__", None) is served


def namespaces() -> list[dict[str, Any]]:
    """The namespaces of the modules that it has imported here."""
    loaded = [sys.modules.get(name) for name in served.sources]
    return [vars(module) for module in loaded if module is not None and is_served(module)]


def is_new(name: str, attribute: str, value: object) -> bool:
    """Whether the cell put it in the place of another object of the module."""
    return name in served.whole or served.begun.get(name, {}).get(attribute, value) is not value


def changed() -> dict[str, Moved] | None:
    """What the cell bound anew in its modules, by name, and what it deleted; None if nothing."""
    found = dict[str, Moved]()
    for name in served.begun:  # in the order of the imports
        module = sys.modules.get(name)
        if module is not None and (new := served.moved(module, found)):
            found[name] = new
    return found or None


def imported_anew() -> list[str]:
    """What is imported here and not loaded in the notebook, in this order."""
    return [
        name
        for name, module in list(sys.modules.items())
        if name in served.sources and is_served(module) and not served.sources[name].is_loaded
    ]


def install(
    sources: Iterable[ModuleSource],
    made: Mapping[str, Mapping[str, bytes]] | None = None,
    without_effects: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> None:
    """Make these modules importable in this process, instead of others of the same names;
    tracebacks show their lines. `made`: the state of those created at run time (name → path →
    pickle), set after the first import. `without_effects`: surrounds the import of what the
    notebook has loaded.
    """
    served.states, served.without_effects = None, without_effects
    add(sources, made or {})


def add(sources: Iterable[ModuleSource], made: Mapping[str, Mapping[str, bytes]]) -> None:
    """Like `install`, beside those that are here."""
    served.made.update(made)
    for module in sources:
        served.sources[module.name] = module
        if module.is_loaded:
            served.held.add(module.name)
        elif module.beside:
            served.marks[module.name] = source_files.mark(served.file_here(module.name))
        loaded = sys.modules.get(module.name)
        if loaded is not None and not is_served(loaded):
            del sys.modules[module.name]
        source_files.show_lines(module)
    if served not in sys.meta_path:
        finders, of_files = sys.meta_path, importlib.machinery.PathFinder
        finders.insert(finders.index(of_files) if of_files in finders else len(finders), served)
