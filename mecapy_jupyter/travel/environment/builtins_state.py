"""Additions of the notebook to `builtins`, and replaced functions."""

from __future__ import annotations

import builtins
import functools
import pickle
import types

from mecapy_jupyter.travel.environment import originals, state_pickler

_PLAIN = frozenset({"builtins", "numpy", "__main__"})


def get() -> dict[str, bytes] | None:
    """Name → pickle: the notebook's functions and classes, and plain values."""
    found = {
        name: data
        for name, value in _added()
        if not name.startswith("_")
        and (_is_callable_of_users(value) or _is_plain(value))
        and (data := state_pickler.dumps(value)) is not None
    }
    return found or None


def functions() -> list[object]:
    """Functions and classes that the notebook added. A replaced one travels as the original."""
    found = {name: value for name, value in _added() if _is_callable_of_users(value)}
    originals.replaced["builtins", ""] = set(found)
    if not found:
        del originals.replaced["builtins", ""]
    return list(found.values())


def _is_callable_of_users(value: object) -> bool:
    """Python itself has no partial function there."""
    return state_pickler.is_users(value) or isinstance(value, functools.partial)


def _is_plain(value: object) -> bool:
    return (
        type(value).__module__ in _PLAIN
        and not callable(value)
        and not isinstance(value, (bool, types.ModuleType, type(None), type(...)))
        and value is not NotImplemented
    )


_PYTHONS_OWN = {
    name: value
    for name, value in vars(builtins).items()
    if not (_is_callable_of_users(value) or _is_plain(value))
}


def _added() -> list[tuple[str, object]]:
    """What is not Python's own. Most often nothing, so that the rest costs no time in each cell."""
    return [
        (name, value)
        for name, value in list(vars(builtins).items())
        if _PYTHONS_OWN.get(name) is not value
    ]


def put(state: dict[str, bytes]) -> None:
    for name, data in state.items():
        originals.keep("builtins", name, getattr(builtins, name, None))
        setattr(builtins, name, pickle.loads(data))  # noqa: S301 our own state
