"""Pickles the state that travels before the variables: functions of the notebook, and of modules
created at run time, find the namespaces of the other side.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib
import io
import sys
import types
from collections.abc import Callable, Iterable
from typing import Any, cast

import cloudpickle

from mecapy_jupyter.travel.environment import originals
from mecapy_jupyter.travel.hooks import pickles


class Globals:
    """Stands for the dictionary of the module with this name."""

    def __init__(self, module: str) -> None:
        self._module = module

    def __reduce__(self) -> tuple[Callable[[str], dict[str, Any]], tuple[str]]:
        return globals_of, (self._module,)


def globals_of(module: str) -> dict[str, Any]:
    """The dictionary of a module in this process; that of the notebook is `__main__`'s."""
    return vars(importlib.import_module(module))


class StatePickler(cloudpickle.Pickler):
    """Pickles functions and classes of the `made` modules by value, like those of the notebook."""

    def __init__(self, file: io.BytesIO, made: Iterable[str]) -> None:
        super().__init__(file, protocol=5)
        self._made = frozenset(made)
        self.files = set[str]()
        """The files of the functions that it pickled."""
        for name in ("__main__", *self._made):
            self.globals_ref[id(vars(sys.modules[name]))] = Globals(name)

    def reducer_override(self, obj: Any) -> Any:
        if originals.replaced and (of_module := originals.reduced(obj)) is not None:
            return of_module
        if pickles.is_renamed(obj):
            return self._dynamic_function_reduce(obj)
        if getattr(obj, "__module__", None) in self._made:
            if isinstance(obj, types.FunctionType):
                return self._dynamic_function_reduce(obj)
            if isinstance(obj, type):
                return pickles.dynamic_class_reduce(obj)
        return super().reducer_override(obj)

    def _dynamic_function_reduce(self, func: types.FunctionType) -> Any:
        reduced = super()._dynamic_function_reduce(func)  # pyright: ignore
        self.files.add(func.__code__.co_filename)
        if func.__module__ in self._made:
            reduced[2][1]["__globals__"] = {}  # the whole module travels
        return reduced


class _Digest(io.BytesIO):
    """Takes so many bytes, and keeps their hash."""

    def __init__(self, most_bytes: int) -> None:
        super().__init__()
        self.left_bytes = most_bytes
        self.hash = hashlib.blake2b(digest_size=16)

    def write(self, data: Any) -> int:
        size = memoryview(data).nbytes
        self.left_bytes -= size
        if self.left_bytes < 0:
            raise OverflowError("the pickle is too large")
        self.hash.update(data)
        return size


TOO_LARGE = b""


def digest(value: object, most_bytes: int) -> bytes | None:
    """The digest of its pickle; None for what cannot be pickled, `TOO_LARGE` for what has more
    bytes.
    """
    file = _Digest(most_bytes)
    try:
        StatePickler(file, ()).dump(value)
    except Exception:
        return TOO_LARGE if file.left_bytes < 0 else None
    return file.hash.digest()


def dumps(value: object, made: Iterable[str] = (), files: set[str] | None = None) -> bytes | None:
    """None for what cannot travel. `files` gets the files of its functions."""
    with contextlib.suppress(Exception):
        file = io.BytesIO()
        pickler = StatePickler(file, made)
        pickler.dump(value)
        if files is not None:
            files |= pickler.files
        return file.getvalue()
    return None


def is_users(value: object) -> bool:
    """Whether it is a function or class of the notebook or of a user-defined module."""
    if isinstance(value, types.FunctionType):
        return value.__module__ == "__main__" or value.__globals__.get("__name__") == "__main__"
    if isinstance(value, functools.partial):
        return is_users(cast(Any, value).func)
    if isinstance(value, (staticmethod, classmethod, types.MethodType)):
        return is_users(cast(Any, value).__func__)
    if isinstance(value, property):
        return any(is_users(part) for part in (value.fget, value.fset, value.fdel))
    return isinstance(value, type) and value.__module__ == "__main__"
