"""Objects without reference counts (PEP 683, CPython 3.12 and later): reading them writes to no
page, so no child copies it. Called in the zygote before it forks; these objects live as long as its
children.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
from types import CodeType
from typing import Any

_count_of = ctypes.c_uint32.from_address
_OF_CODE = (
    *("co_name", "co_qualname", "co_filename", "co_names", "co_consts"),
    *("co_varnames", "co_cellvars", "co_freevars", "co_linetable", "co_exceptiontable"),
)


def make() -> int:
    """Make everything that can be reached immortal, as `None` is; returns how many objects. 0 if
    this Python has none, or lays objects out differently.
    """
    if sys.version_info < (3, 12) or not _lies_as_known():
        return 0
    forever, made = _count_of(id(None)).value, 0
    for each in _everything():
        _count_of(id(each)).value = forever
        made += 1
    return made


def _lies_as_known() -> bool:
    """An object begins with the count of its references. (Not so in free-threaded and debug
    builds.)
    """
    probe = object()
    others = [probe] * 100
    return _count_of(id(probe)).value == sys.getrefcount(others[0]) - 1 > len(others)


def _everything() -> Iterator[Any]:
    """Each object once: those that the collector knows, and whatever they refer to."""
    waiting = gc.get_objects()
    met = {id(waiting)}
    while waiting:
        each = waiting.pop()
        if id(each) in met:
            continue
        met.add(id(each))
        waiting += gc.get_referents(each)
        if isinstance(each, CodeType):  # which the collector cannot look into
            waiting += [getattr(each, name) for name in _OF_CODE]
        yield each
