"""Singletons: objects that are an attribute of a module on both sides (`dataclasses.MISSING`,
`scipy.stats.norm`, `settings` of a user-defined module). Each arrives as that attribute, so that
`is` works, with its current state if that is plain data or the module is the user's own. Part of
`pickler`. The functions named in the results run on the other side.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any, cast

from mecapy_jupyter.travel.environment import module_importer, state_pickler, user_modules
from mecapy_jupyter.travel.hooks import pickles
from mecapy_jupyter.travel.pickling.object_reducers import set_attributes

_missing: Any = object()
_PLAIN = frozenset({bool, int, float, complex, str, bytes})
_NOBODYS = frozenset({"builtins", "__main__", "__mp_main__", "numpy"})
_PYTHONS_OWN = (types.FunctionType, types.BuiltinFunctionType, types.MethodType, types.ModuleType)


class Singletons:
    """The singletons of one stream, searched once per type. `sets`: whether the other side's object
    takes the state of this one; not on the way home, where changes travel by themselves.
    """

    def __init__(self, on_own: Callable[[str], object], *, sets: bool) -> None:
        self._on_own, self._sets = on_own, sets
        self._known: dict[type, dict[int, tuple[str, str]]] = {}

    def among(self, cls: type[Any]) -> dict[int, tuple[str, str]]:
        """The names of singletons of this type, by id."""
        found = self._known.get(cls)
        if found is None:
            found = self._known[cls] = {id(value): (m, n) for m, n, value in _standing(cls)}
        return found

    def reduced(self, obj: Any) -> Any:
        """How to pickle `obj` by its name; None if it has none."""
        cls = cast("type[Any]", type(obj))
        if (where := self.among(cls).get(id(obj))) is None or module_importer.is_new(*where, obj):
            return None
        if own := user_modules.is_own(sys.modules[where[0]]):
            self._on_own(where[0])
        by_name = None if where[1].startswith("_") else (_looked_up, (*where, _called(cls)))
        try:
            taken = pickles.taken_apart(obj)
        except Exception:
            return by_name
        if isinstance(taken, str):
            return taken
        make, arguments, *parts = taken
        if own and self._sets and isinstance(obj, tuple) and not _is_plain(arguments):
            return None  # it cannot take what its parts hold; the module takes this one
        bare = len(arguments) == 1 and arguments[0] is cls
        if not (own or bare) and all(part is None for part in parts):  # those are its state
            return _made, (*where, _called(cls), self._sets, make, *arguments)
        settable = parts[3] is None and not hasattr(cls, "__setstate__")
        if own or (settable and _is_plain(parts[:3])):
            state = (*where, self._sets, *parts)
            return _looked_up, (*where, _called(cls), make, *arguments), state, None, None, _fill
        return by_name


def _is_plain(value: Any) -> bool:
    """Whether it is plain data that nothing else may refer to."""
    if isinstance(value, (list, tuple, set, frozenset)):
        return all(map(_is_plain, cast("list[Any]", value)))
    if isinstance(value, dict):
        return all(_is_plain(pair) for pair in cast("dict[Any, Any]", value).items())
    return value is None or type(value) in _PLAIN


def _standing(cls: type[Any]) -> Iterator[tuple[str, str, Any]]:
    """The objects of this type that are attributes of its module or of a parent package; a bare
    `object()` may be in any module.
    """
    home = str(cls.__module__)  # sympy creates classes that have None there
    if cls is object:
        modules = [name for name in sys.modules if name.partition(".")[0] not in _NOBODYS]
    elif home in _NOBODYS or cls in _PYTHONS_OWN or issubclass(cls, type):
        return
    else:
        parts = home.split(".")
        modules = [".".join(parts[:depth]) for depth in range(1, len(parts) + 1)]
    for name in modules:
        module = sys.modules.get(name)
        if type(module) is types.ModuleType:
            for attribute, value in list(vars(module).items()):
                if type(value) is cls:
                    yield name, attribute, value


def _called(cls: Any) -> str:
    """The class's name, because some create a class for each object."""
    return f"{cls.__module__}.{cls.__qualname__}"


def _standing_there(module: str, name: str) -> Any:
    try:
        return vars(importlib.import_module(module)).get(name, _missing)
    except ImportError:
        return _missing


def _looked_up(module: str, name: str, kind: str, make: Any = None, *arguments: Any) -> Any:
    """The object at that name; a new one if there is none, or another type."""
    there = _standing_there(module, name)
    if _called(cast(Any, type(there))) == kind:
        return there
    if make is None:
        raise LookupError(f"{module}.{name} is not a {kind} here; make it in the cell")
    return make(*arguments)


def _made(module: str, name: str, kind: str, sets: bool, make: Any, *arguments: Any) -> Any:
    """The object at that name if it can take the state; otherwise a new one."""
    there, new = _standing_there(module, name), make(*arguments)
    if there is new or not _called(cast(Any, type(there))) == kind == _called(cast(Any, type(new))):
        return new
    held: Any = object.__getstate__(new)
    if held is None:  # it shows no attributes: equal or different
        same = state_pickler.dumps(there) == state_pickler.dumps(new)
        return there if same or not sets else new
    if sets:
        set_attributes(there, held)
    return there


def _fill(obj: Any, content: tuple[Any, ...]) -> None:
    """Sets state, items and entries as pickle does."""
    module, name, sets, state, items, entries, setter = content
    if not sets and _standing_there(module, name) is obj:
        return
    try:
        _set_state(obj, state, setter)
    except AttributeError:  # a constant, such as mpmath's: the other side's own is equivalent
        if _standing_there(module, name) is not obj:
            raise
    base: Any = list if isinstance(obj, list) else dict
    if items is not None and isinstance(obj, list):
        base.__setitem__(obj, slice(None), items)
    if entries is not None and isinstance(obj, dict):
        base.clear(obj)
        base.update(obj, entries)


def _set_state(obj: Any, state: Any, setter: Any) -> None:
    if setter is not None:
        setter(obj, state)
    elif state is not None and hasattr(obj, "__setstate__"):
        obj.__setstate__(state)
    elif state is not None:
        set_attributes(obj, state)
