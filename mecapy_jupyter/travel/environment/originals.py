"""Functions and classes that the notebook has replaced in modules. A replacement usually calls the
original, which its module no longer holds.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any

replaced: dict[tuple[str, str], set[str]] = {}
"""(module, class or "") → names that hold something of the notebook's. Noted by `patches`."""
_first: dict[tuple[str, str], Any] = {}


def keep(module: str, path: str, value: Any) -> None:
    """On the worker: what stood there before."""
    _first.setdefault((module, path), value)


def reduced(obj: Any) -> Any:
    """How to write what was replaced; None for anything else."""
    module, path = getattr(obj, "__module__", None), getattr(obj, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(path, str):
        return None
    inside, _, name = path.rpartition(".")
    if name not in replaced.get((module, inside), ()) or obj is _standing(module, path):
        return None
    return original, (module, path)


def original(module: str, path: str) -> Any:
    """Called by the unpickler."""
    standing = _standing(module, path)
    return _first.get((module, path), standing)


def _standing(module: str, path: str) -> Any:
    return functools.reduce(getattr, path.split("."), importlib.import_module(module))
