"""What the notebook's own functions do when a cell calls them, as far as their code can be seen."""

from __future__ import annotations

import builtins
import functools
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.machinery import BuiltinImporter, ExtensionFileLoader
from types import CellType, FunctionType, MethodType, ModuleType
from typing import Any, cast

from mecapy_jupyter.capture.code_uses import LOOKS_UP, WAYS, Uses, finds_all, uses
from mecapy_jupyter.capture.names import Names

_OF_IPYTHON = re.compile(r"_+|_i+|_i?\d+|_[iod]h|In|Out|_exit_code|exit|quit|display|__.*__")
_PYTHON_CLASS = 1 << 9  # Py_TPFLAGS_HEAPTYPE
_WRAPPERS = (functools.partial, MethodType, staticmethod, classmethod)
_CODE = (FunctionType, staticmethod, classmethod, property)


def missing(names: Names, namespace: Mapping[str, object]) -> tuple[str, int, int] | None:
    """The first name, with line and column, that the cell certainly reads and nothing can have
    bound; or None.

    Never a false alarm: None if earlier code may bind names unseen, end the cell, or fail in
    another way. Code that is not the notebook's may always do so.
    """
    if names.dynamic or names.unseen or names.stars or type(cast(object, namespace)) is not dict:
        return None
    for name, (line, column, met) in names.surely.items():
        if name in namespace or hasattr(builtins, name) or _OF_IPYTHON.fullmatch(name):
            continue
        surprise = _may_surprise(names, names.met[:met], namespace, name)
        return None if surprise else (name, line, column)
    return None


def looks_up(names: Names, namespace: Mapping[str, object]) -> bool:
    """Whether a function of the notebook that the cell may call looks names up at run time, as a
    `dynamic` cell does itself.
    """
    reached = _reached(names.reads, namespace)
    return any(not LOOKS_UP.isdisjoint(used.reads) or finds_all(used) for used in reached if used)


def read_by(functions: Iterable[object], namespace: Mapping[str, object]) -> set[str]:
    """The notebook's variables that these functions may read when somebody calls them."""
    reached = _reached((), namespace, functions)
    return {name for used in reached if used for name in used.reads if name in namespace}


def _reached(
    names: Iterable[str], namespace: Mapping[str, object], more: Iterable[object] = ()
) -> Iterator[Uses | None]:
    """What functions of the notebook may do that are reached from these names, or from `more`;
    None: something is reached whose code is not the notebook's.
    """
    todo, values, done = list(names), list(more), set[str]()
    while todo or values:
        if not values:
            name = todo.pop()
            if name in done:
                continue
            done.add(name)
            values.append(namespace.get(name, vars(builtins).get(name)))
        for used in _used(values.pop()):
            yield used
            todo.extend(used.reads if used else ())


def _may_surprise(names: Names, met: Iterable[str], space: Mapping[str, object], name: str) -> bool:
    """Whether what the cell has met may bind `name`, end the cell or fail: an import, a function of
    the notebook, anything of a library.
    """
    entries = [entry.rpartition(" ") for entry in met]
    used = [what.rpartition(".") for kind, _, what in entries if kind]
    values = [sys.modules.get("".join(at), _held(sys.modules.get(at[0])).get(at[2])) for at in used]
    loads = [what for kind, _, what in entries if not kind]
    return not (WAYS.isdisjoint(loads) and all(map(_is_here, names.imports))) or any(
        used is None
        or used.leaves
        or name in used.binds
        or not WAYS.isdisjoint(used.mentions)
        or not all(map(_is_here, used.imports))
        for used in _reached(loads, space, values)
    )


def _is_here(dotted: str) -> bool:
    """A module, or what is imported from one, that runs no code when it is imported now."""
    module, _, name = dotted.rpartition(".")
    return dotted in sys.modules or name in _held(sys.modules.get(module))


def _held(value: object) -> dict[str, object]:
    """The content of an object's `__dict__`, without running code of its class."""
    try:
        return object.__getattribute__(value, "__dict__")
    except AttributeError:
        return {}


def _used(value: Any, depth: int = 3) -> Iterator[Uses | None]:
    """The code that calling or using `value` may run. Asks its type, never the object."""
    while issubclass(type(value), _WRAPPERS):
        value = value.func if issubclass(type(value), functools.partial) else value.__func__
    kind, own, parts = cast("type[object]", type(value)), True, list[object]()
    if kind is FunctionType:
        own = value.__module__ == "__main__"
        parts = [*map(_content, value.__closure__ or ()), *(value.__defaults__ or ())]
        if own:
            yield uses(value.__code__)
    elif issubclass(kind, ModuleType):
        loader = getattr(_held(value).get("__spec__"), "loader", None)
        native = loader is BuiltinImporter or type(loader) is ExtensionFileLoader
        own = native and value is not sys
    elif kind is property:
        parts = [value.fget, value.fset, value.fdel]
    else:
        own, parts = _of_class(value if issubclass(kind, type) else kind)
        parts += [] if issubclass(kind, type) or not own else _held(value).values()
    if not own or (parts and not depth):
        yield None
    else:
        for part in parts:
            yield from _used(part, depth - 1)


def _of_class(kind: type) -> tuple[bool, list[object]]:
    """Whether all its code is the notebook's or native; and what the notebook's part holds."""
    user_classes = [base for base in kind.__mro__ if base.__module__ == "__main__"]
    own = not any(
        base.__flags__ & _PYTHON_CLASS for base in kind.__mro__ if base not in user_classes
    )
    held = [item for base in user_classes for item in vars(base).items()]
    own = own and kind not in (list, tuple, set, frozenset, dict)  # of anything
    return own, [part for name, part in held if type(part) in _CODE or not name.startswith("__")]


def _content(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # not bound yet
        return None
