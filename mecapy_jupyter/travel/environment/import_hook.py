"""Runs a callback once a library is imported, so that a cell that does not use the library does not
wait for it. It changes the import system: known for Python 3.11 to 3.14;
tests/capture/test_import_hook.py is its canary.
"""

from __future__ import annotations

import importlib.abc
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from mecapy_jupyter.travel.hooks import import_frames

_waiting: dict[str, list[Callable[[], object]]] = {}


def when_imported(module: str, action: Callable[[], object]) -> None:
    """Call it when the module is imported; at once if it is loaded."""
    if module in sys.modules:
        action()
        return
    _waiting.setdefault(module, []).append(action)
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


def forget() -> None:
    """Forget all callbacks."""
    _waiting.clear()


class _Finder(importlib.abc.MetaPathFinder):
    """Finds a module as the next finders do, and adds the callback."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in _waiting:
            return None
        for finder in sys.meta_path[sys.meta_path.index(self) + 1 :]:
            find = getattr(finder, "find_spec", None)
            if find is not None and (spec := find(fullname, path, target)) is not None:
                if spec.loader is not None:
                    spec.loader = _Then(spec.loader)
                return spec
        return None


class _Then(importlib.abc.Loader):
    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self._loader.create_module(spec)

    @import_frames.left_out
    def exec_module(self, module: ModuleType) -> None:
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        module.__loader__ = self._loader
        self._loader.exec_module(module)
        for action in _waiting.pop(module.__name__, ()):
            action()
