"""The parts of a value, found without running its code: containers, attributes, slots, closures.
Only `reduced` calls into a value, and only what pickling has called already.
"""

from __future__ import annotations

import functools
import itertools
import types
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any, cast

from mecapy_jupyter.travel.environment.executed_source import codes

Part = tuple[str, object]
"""How a part is written after its owner (`.solver`, `['mesh']`, `[3]`), and the part."""

_MOST_SEEN = 100_000
_SEQUENCES: tuple[Any, ...] = (list, tuple, deque, set, frozenset)
_PLAIN = (str, int, float, bool, bytes, type(None))


def parts(whole: object) -> Iterator[Part]:
    """The parts of a value, nearest first; safe for any value."""
    value: Any = whole
    kind = cast("type[object]", type(value))  # not `isinstance`, which reads its `__class__`
    if issubclass(kind, (dict, types.MappingProxyType)):
        yield from _of_mapping(cast("Mapping[object, object]", value))
    elif issubclass(kind, _SEQUENCES):
        base = next(each for each in _SEQUENCES if issubclass(kind, each))
        items = enumerate(base.__iter__(value))
        yield from ((_index(value, number), item) for number, item in items)
    elif issubclass(kind, types.FunctionType):
        yield from _of_function(value)
    elif issubclass(kind, types.MethodType):
        yield from ((".__self__", value.__self__), (".__func__", value.__func__))
    elif issubclass(kind, functools.partial):
        call = cast("functools.partial[object]", value)
        yield from ((".func", call.func), (".args", call.args), (".keywords", call.keywords))
    elif issubclass(kind, types.CellType):
        yield from _of_cell("", value)
    elif issubclass(kind, type):
        yield from (
            (f".{name}", part)
            for name, part in vars(cast("type[object]", whole)).items()
            if name not in ("__dict__", "__weakref__")
        )
    elif issubclass(kind, (staticmethod, classmethod)):
        yield "", value.__func__
    elif issubclass(kind, property):
        yield from (
            (f".{name}", part)
            for name, part in (("fget", value.fget), ("fset", value.fset))
            if part
        )
    else:
        yield from _of_table(value)
    if not issubclass(kind, type):
        yield from attributes(whole)


def path_to(wanted: object, variables: Mapping[str, object]) -> str:
    """The path from the nearest of these variables to an object (`model['params'][0]`); empty if
    there is none.
    """
    todo = deque(variables.items())
    seen = {id(value): value for value in variables.values()}
    while todo and len(seen) < _MOST_SEEN:
        path, value = todo.popleft()
        for label, part in parts(value):
            if part is wanted:
                return path + label
            simple = (str, bytes, int, float, type(None), types.ModuleType)
            is_simple = issubclass(type(part), simple)
            if (
                id(part) not in seen
                and not is_simple
                and not (issubclass(type(part), type) and cast(Any, part).__module__ != "__main__")
            ):
                seen[id(part)] = part
                todo.append((path + label, part))
    return ""


def _index(whole: object, number: int) -> str:
    return f"[{number}]" if issubclass(type(whole), (list, tuple, deque)) else "{…}"


def _of_mapping(mapping: Mapping[object, object]) -> Iterator[Part]:
    base: Any = dict if issubclass(type(mapping), dict) else type(mapping)
    for key, part in base.items(mapping):
        yield f"[{_short(key)}]", part
        if not issubclass(type(key), _PLAIN):
            yield f".<key {type(key).__name__}>", key


def _short(key: object) -> str:
    try:
        text = repr(key) if issubclass(type(key), _PLAIN) else ""
    except Exception:  # an integer of 5,000 digits
        text = ""
    return text if 0 < len(text) < 60 else f"<{type(key).__name__}>"


def _of_cell(label: str, cell: types.CellType) -> Iterator[Part]:
    try:
        yield label, cell.cell_contents
    except ValueError:  # not bound yet
        return


def _of_function(function: types.FunctionType) -> Iterator[Part]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        yield from _of_cell(f".<closure>.{name}", cell)
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    defaults = function.__defaults__ or ()
    for name, part in zip(names[len(names) - len(defaults) :], defaults, strict=False):
        yield f".<default>.{name}", part
    for name, part in (function.__kwdefaults__ or {}).items():
        yield f".<default>.{name}", part
    if function.__module__ == "__main__":  # it travels by value, with the globals it reads
        names = (name for code in codes(function.__code__) for name in code.co_names)
        for name in dict.fromkeys(names):
            if name in function.__globals__ and not isinstance(
                function.__globals__[name], types.ModuleType
            ):
                yield f".<global>.{name}", function.__globals__[name]


def _of_table(value: object) -> Iterator[Part]:
    """Arrays of objects, and the columns of tables."""
    kind = type(value)
    module, known = str(kind.__module__).partition(".")[0], cast(Any, value)
    if module == "numpy" and kind.__name__ == "ndarray" and known.dtype.hasobject:
        yield from ((f".flat[{number}]", item) for number, item in enumerate(known.flat))
    elif module == "pandas" and kind.__name__ == "DataFrame":
        yield from (
            (f"[{_short(name)}]", known[name]) for name in known.columns if known[name].ndim == 1
        )
    elif module == "pandas" and kind.__name__ == "Series" and known.dtype == object:
        yield from ((f".iloc[{number}]", item) for number, item in enumerate(known.to_numpy()))


def attributes(value: object) -> Iterator[Part]:
    """Instance attributes as stored, without running a property."""
    try:
        stored = None if _is_bare(value) else object.__getattribute__(value, "__dict__")
    except (AttributeError, TypeError):
        stored = None
    if isinstance(stored, dict):
        yield from ((f".{name}", part) for name, part in cast("dict[str, object]", stored).items())
    for kind in type(value).__mro__:
        for name, slot in vars(kind).items() if "__slots__" in vars(kind) else ():
            if isinstance(slot, types.MemberDescriptorType):
                try:
                    yield f".{name}", slot.__get__(value, kind)
                except AttributeError:  # an empty slot
                    continue


def _is_bare(value: object) -> bool:
    """Asking a `partial` for its `__dict__` creates one, and a `partial` of it is then no longer
    merged with it.
    """
    return type(value) is functools.partial and value.__reduce__()[2][3] is None


def reduced(value: object) -> Iterator[Part]:
    """pickle's parts of the value, for classes that define them."""
    if issubclass(type(value), type):
        return
    try:
        taken = cast(Any, value).__reduce_ex__(5)
    except Exception:
        return
    if not isinstance(taken, tuple):
        return
    pieces = cast("tuple[object, ...]", taken)
    arguments = (
        cast("tuple[object, ...]", pieces[1])
        if len(pieces) > 1 and isinstance(pieces[1], tuple)
        else ()
    )
    yield from (
        (f".<pickled as>[{number}]", part)
        for number, part in enumerate(arguments)
        if part is not value
    )
    if len(pieces) > 2 and isinstance(pieces[2], dict):
        yield from (
            (f".{name}", part) for name, part in cast("dict[object, object]", pieces[2]).items()
        )
    elif len(pieces) > 2:
        yield ".<state>", pieces[2]
    for items in pieces[3:5]:
        if isinstance(items, Iterator):
            yield from (
                (f".<item {number}>", item)
                for number, item in enumerate(
                    itertools.islice(cast("Iterator[object]", items), 1000)
                )
            )
