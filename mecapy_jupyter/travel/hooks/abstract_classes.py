"""Access to the classes that are registered with an abstract class."""

from __future__ import annotations

import collections.abc
import contextlib
import numbers
import os
from typing import Any

_abc: Any = __import__("_abc")


def registered(cls: type) -> list[type]:
    """The classes that were registered with it and are alive."""
    if "_abc_impl" not in vars(cls):
        return []
    found = [reference() for reference in _abc._get_dump(cls)[0]]
    return sorted((one for one in found if one is not None), key=lambda one: one.__qualname__)


_PYTHONS: tuple[type, ...] = tuple(
    one
    for module in (collections.abc, numbers, contextlib, os)
    for one in vars(module).values()
    if isinstance(one, type) and "_abc_impl" in vars(one)
)


def registered_with(cls: type) -> list[type]:
    """The abstract classes of Python's own that a class was registered with."""
    return [one for one in _PYTHONS if any(known is cls for known in registered(one))]
