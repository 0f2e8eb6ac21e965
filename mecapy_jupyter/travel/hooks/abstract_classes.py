"""Where Python keeps which classes were registered with an abstract one."""

from __future__ import annotations

from typing import Any

_abc: Any = __import__("_abc")


def registered(cls: type) -> list[type]:
    """The classes that were registered with it and are alive."""
    if "_abc_impl" not in vars(cls):
        return []
    found = [reference() for reference in _abc._get_dump(cls)[0]]
    return sorted((one for one in found if one is not None), key=lambda one: one.__qualname__)
