"""Functions and classes that the notebook added to installed modules and classes (`pd.Series.rms =
rms`, accessors) or to their registries. `look` searches after each cell, when nobody waits. What
has not changed is not looked at again.
"""

from __future__ import annotations

import pickle
import re
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from mecapy_jupyter.travel.environment import import_hook, originals, state_pickler

_NOT_LOOKED_AT = frozenset(
    (
        *("IPython", "ipykernel", "traitlets", "tornado", "zmq", "jupyter_client", "jupyter_core"),
        *("comm", "ipywidgets", "debugpy", "pydevd", "_pydevd_bundle", "_pydev_bundle"),
        *("mecapy_jupyter", "mecapy_worker", "mecapy_backend", "matplotlib_inline"),
        *("cloudpickle", "pickle", "abc", "weakref", "functools", "inspect", "linecache", "typing"),
        *("gc", "sys", "builtins", "atexit", "asyncio", "threading", "concurrent", "signal"),
        *("numba", "jax", "torch", "pytest", "_pytest", "pluggy", "dataclasses", "enum", "types"),
        *("logging", "__main__", "__mp_main__", "prompt_toolkit"),
    )
)
"""Modules of the kernel, and modules that keep a user's functions for a while."""
_NOBODYS = frozenset(
    (
        *(str, bytes, int, float, bool, complex, tuple, list, set, frozenset, type(None)),
        *(types.ModuleType, types.BuiltinFunctionType, types.GetSetDescriptorType),
        *(types.MemberDescriptorType, types.WrapperDescriptorType, types.MethodDescriptorType),
    )
)
_MOST_ENTRIES = 2000


@dataclass(frozen=True, slots=True)
class Patch:
    """`path`: of the attribute in the module. `key`: the pickled key, if the attribute is a
    registry.
    """

    module: str
    path: str
    value: bytes
    key: bytes | None = None


CARRIED = "what the notebook has put into modules"
"""Its name among the inputs of a cell."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """A patch that travels with the variables: the same object in the module and in what they hold,
    so that both see its changes. `keys`: the key, if the attribute is a registry.
    """

    module: str
    path: str
    value: Any
    keys: tuple[Any, ...] = ()


_stood: dict[tuple[str, str], tuple[int, list[dict[Any, Any]], int]] = {}
"""(module, class or "") → a number for the content of its dictionary; its registries, and their
lengths.
"""
_found: dict[tuple[str, str], dict[tuple[str, Any], Any]] = {}
"""As above → (name, key or None) → the user's object."""
_classes: dict[str, list[type]] = {}
_said: set[str] = set()
_NO_KEY = object()
_SETS = re.compile(
    r"""[\w\])]\s*\.\s*(?!(?:i?loc|i?at)\b)\w+(?:\[[^\]]*\])?\s*=[^=]  # but not entries of a table
    |setattr|regist|accessor|copyreg
    |(?<!add_)patch(?!es)
    |\badd_(?!subplot|axes|patch|artist|collection|line|trace|shape|annotation|gridspec|subfigure)
    |apply\(\s*\)  # with an argument, it is given to a table
    """,
    re.VERBOSE,
)
_seen: dict[str, int] = {}


def after_cell(text: str, is_own: Callable[[types.ModuleType], bool]) -> None:
    """Look if a cell may have set something; for most cells it is not worth the time."""
    if not text or may_set(text) or len(sys.modules) != _seen.get("modules"):
        look(is_own)
        _seen["modules"] = len(sys.modules)


def may_set(text: str) -> bool:
    """Whether a cell's text looks as if it put something into a module, a class or a registry."""
    return _SETS.search(text) is not None


def look(is_own: Callable[[types.ModuleType], bool]) -> None:
    """Find the user's objects in every loaded module and class of the packages that the notebook
    names.
    """
    packages = _named()
    for name, module in list(sys.modules.items()):
        if type(module) is not types.ModuleType or name.partition(".")[0] not in packages:
            continue
        names = vars(module)
        if _moved(name, "", names):
            if is_own(module):
                continue
            _classes[name] = [
                cls
                for cls in list(names.values())
                if isinstance(cls, type) and cls.__module__ == name
            ]
            _keep(name, "", names)
        for cls in _classes.get(name, ()):
            held = cast("Mapping[str, Any]", vars(cls))
            if _moved(name, cls.__qualname__, held):
                _keep(name, cls.__qualname__, held)


def _named() -> set[str]:
    """The packages of the notebook's variables. Nobody sets what they cannot reach."""
    homes = set[str]()
    for value in list(vars(sys.modules["__main__"]).values()):
        known = isinstance(value, (types.ModuleType, type, types.FunctionType))
        home = getattr(value if known else cast(object, type(value)), "__module__", None)
        homes.add(value.__name__ if isinstance(value, types.ModuleType) else str(home))
    return {home.partition(".")[0] for home in homes} - _NOT_LOOKED_AT


def _moved(module: str, inside: str, names: Mapping[str, Any]) -> bool:
    """Whether its objects have changed since the last look, or its registries have grown."""
    held = hash(tuple(map(id, names.values())))
    known, registries, entries = _stood.get((module, inside), (0, list[dict[Any, Any]](), 0))
    if held == known and (not registries or sum(map(len, registries)) == entries):
        return False
    new = [cast("dict[Any, Any]", value) for value in list(names.values()) if type(value) is dict]
    _stood[module, inside] = held, new, sum(map(len, new))
    return True


def _keep(module: str, inside: str, names: Mapping[str, Any]) -> None:
    mine = {(name, key): value for name, key, value in _users(dict(names), bool(inside))}
    if mine:
        _found[module, inside] = mine
        originals.replaced[module, inside] = {name for name, key in mine if key is _NO_KEY}
    else:
        _found.pop((module, inside), None)
        originals.replaced.pop((module, inside), None)


def _users(names: Mapping[str, Any], in_class: bool) -> Iterator[tuple[str, Any, Any]]:
    for name, value in names.items():
        special = name.startswith("__") and not (in_class and type(value) is types.FunctionType)
        if special or type(value) in _NOBODYS:
            continue
        users = state_pickler.is_users(value) or type(value).__module__ == "__main__"
        if users or (in_class and holds_users(value)):
            yield name, _NO_KEY, value
        elif type(value) is dict and "cache" not in name:
            entries = cast("dict[Any, Any]", value)
            for key, entry in list(entries.items()) if len(entries) <= _MOST_ENTRIES else ():
                if state_pickler.is_users(entry):
                    yield name, key, entry


def holds_users(value: object) -> bool:
    """A library's descriptor around the user's class or function, such as a pandas accessor."""
    if type(value).__module__ == "builtins" or not hasattr(cast(object, type(value)), "__get__"):
        return False
    try:
        return any(state_pickler.is_users(part) for part in list(vars(value).values()))
    except TypeError:
        return False


def current(made: frozenset[str], files: set[str]) -> list[Patch]:
    """The patches that can travel. `files` gets the files of their functions."""
    patches: list[Patch] = []
    for (module, inside), mine in _found.items():
        for (name, key), value in mine.items():
            data = None if _is_variable(value) else state_pickler.dumps(value, made, files)
            as_key = None if key is _NO_KEY else state_pickler.dumps(key)
            path = f"{inside}.{name}" if inside else name
            if data is not None and (key is _NO_KEY or as_key is not None):
                patches.append(Patch(module, path, data, as_key))
            else:
                _say_once(f"{module}.{path}")
    return patches


def placed() -> dict[str, Replacement]:
    """What the notebook has put into modules, by a name for each."""
    found = [
        Replacement(module, f"{inside}.{name}" if inside else name, value, keys)
        for (module, inside), mine in _found.items()
        for (name, key), value in mine.items()
        for keys in [() if key is _NO_KEY else (key,)]
        if not (_is_variable(value) or any(map(_is_one_of_a_kind, keys)))
    ]
    return {f"{number} {one.module}.{one.path}": one for number, one in enumerate(found)}


def _is_one_of_a_kind(key: object) -> bool:
    """Whether a copy is another key, beside which the object itself would stand."""
    by_name = isinstance(key, (type, types.FunctionType))
    return not by_name and type(key).__hash__ is object.__hash__


def _is_variable(value: object) -> bool:
    """Whether it is an object that also is a variable: the module would get a copy of it."""
    if state_pickler.is_users(value) or type(value).__module__ != "__main__":
        return False
    return any(value is one for one in list(vars(sys.modules["__main__"]).values()))


def _say_once(name: str) -> None:
    if name not in _said:
        _said.add(name)
        print(
            f"mecapy: what the notebook has put into {name} cannot travel; set it in a "
            f"`%%mecapy --setup` cell, which runs here and before every task",
            file=sys.stderr,
        )


def functions() -> list[Any]:
    """The notebook's, that stand in modules."""
    return [value for mine in _found.values() for value in mine.values()]


def put(found: Iterable[Patch | Replacement]) -> None:
    """On the other side: set each once its module is imported."""
    for one in found:
        import_hook.when_imported(one.module, lambda one=one: _set(one))


def _set(one: Patch | Replacement) -> None:
    try:
        _place(_opened(one) if isinstance(one, Patch) else one)
    except Exception as error:
        print(
            f"mecapy: {one.module}.{one.path}, which the notebook has set, could not be set "
            f"on the worker ({type(error).__name__}: {error}); set it in the cell",
            file=sys.stderr,
        )


def _opened(patch: Patch) -> Replacement:
    keys = () if patch.key is None else (pickle.loads(patch.key),)  # noqa: S301 the child's inputs
    return Replacement(patch.module, patch.path, pickle.loads(patch.value), keys)  # noqa: S301 as above


def _place(one: Replacement) -> None:
    holder: Any = sys.modules[one.module]
    *inside, name = one.path.split(".")
    for part in inside:
        holder = getattr(holder, part)
    for key in one.keys:
        getattr(holder, name)[key] = one.value
    if not one.keys:
        originals.keep(one.module, one.path, getattr(holder, name, None))
        setattr(holder, name, one.value)
