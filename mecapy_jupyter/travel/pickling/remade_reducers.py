"""Pickles objects of Python and NumPy that have no pickle, and that their maker makes again: a
match of a regular expression, a vectorized function, a closed file, a `@contextmanager` that has
not begun; or whose pickle copies what they share: a search tree. Part of `reducers`. The functions
named in the results run on the other side.
"""

from __future__ import annotations

import gc
import inspect
import io
import itertools
import os
import re
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, cast

_MOST_MATCHES = 1_000
_FILES = io.TextIOWrapper, io.BufferedReader, io.BufferedWriter, io.BufferedRandom, io.FileIO
_IN_MEMORY = io.StringIO, io.BytesIO
_OF_LIBRARIES = ("numpy", "ufunc"), ("numpy", "vectorize"), ("scipy.spatial", "cKDTree")
_WAYS = ("match", "search", "fullmatch")


@contextmanager
def _manager() -> Generator[None]:
    yield


_MANAGER: Any = type(_manager())


def takes_apart(cls: type[Any]) -> bool:
    known = cls in (re.Match, _MANAGER, *_FILES, *_IN_MEMORY)
    return known or issubclass(cls, _of_libraries())


def _of_libraries() -> tuple[type, ...]:
    """Those that are loaded."""
    found = ((sys.modules.get(module), name) for module, name in _OF_LIBRARIES)
    return tuple(getattr(module, name) for module, name in found if hasattr(module, name))


def reduced(obj: Any) -> Any:
    """How to pickle `obj`; None for an open file, a manager that has begun, a function of NumPy's
    own, or a match that `finditer` found after many others.
    """
    cls = cast("type[Any]", type(obj))
    if cls is re.Match:
        return _match(obj)
    if cls in _IN_MEMORY:
        return (_closed_memory, (cls,)) if obj.closed else None
    if cls in _FILES:
        encoding = obj.encoding if cls is io.TextIOWrapper else None
        named = cls, obj.name, obj.mode, encoding
        return (_closed_file, named, vars(obj)) if obj.closed else None
    if cls is _MANAGER:
        is_new = inspect.getgeneratorstate(obj.gen) == inspect.GEN_CREATED
        return (cls, (obj.func, obj.args, obj.kwds)) if is_new else None
    if cls.__name__ == "ufunc":
        return _ufunc(obj)
    if hasattr(cls, "query_ball_tree"):
        return _tree(obj)
    held = cast("dict[str, Any]", vars(obj))
    state = {name: value for name, value in held.items() if name != "_ufunc"}
    return _vectorized, (cls,), state


def _ufunc(obj: Any) -> Any:
    """One of `np.frompyfunc`, which is named after what it does."""
    if not obj.__name__.endswith(" (vectorized)"):
        return None
    more = {} if obj.identity is None else {"identity": obj.identity}
    return _from_function, (gc.get_referents(obj)[0], obj.nin, obj.nout, more)


def _from_function(function: Any, nin: int, nout: int, more: dict[str, Any]) -> Any:
    numpy: Any = sys.modules["numpy"]
    return numpy.frompyfunc(function, nin, nout, **more)


def _tree(obj: Any) -> Any:
    """With the array that it searches, of which its pickle has a copy."""
    make, arguments, state, *rest = obj.__reduce_ex__(5)
    shared = (obj.data if getattr(part, "ndim", 0) == obj.data.ndim else part for part in state)
    return make, arguments, tuple(shared), *rest


def _vectorized(cls: Any) -> Any:
    """The same, with an empty cache in place of what cannot be pickled."""
    made = cls.__new__(cls)
    made._ufunc = {}
    return made


def _closed_memory(cls: Any) -> Any:
    made = cls()
    made.close()
    return made


def _closed_file(cls: Any, name: Any, mode: str, encoding: str | None) -> Any:
    """Closed here without opening the file of that name."""
    mode, raw = mode.replace("x", "w").replace("a", "w"), cls is io.FileIO
    made: Any = open(os.devnull, mode, 0 if raw else -1, encoding)  # noqa: PTH123, SIM115
    made.close()
    inner = made.buffer.raw if encoding else made if raw else made.raw
    inner.name = name
    return made


def _match(found: Any) -> Any:
    pattern, place = found.re, (found.string, found.pos, found.endpos)
    for way in _WAYS:
        if _is(found, getattr(pattern, way)(*place)):
            return getattr(pattern, way), place
    for number, other in enumerate(_matches(pattern, place)):
        if _is(found, other):
            return _nth, (pattern, place, number)
    return None


def _is(found: Any, other: Any) -> bool:
    return other is not None and other.regs == found.regs


def _matches(pattern: Any, place: tuple[Any, int, int]) -> Iterator[Any]:
    return itertools.islice(cast("Iterator[Any]", pattern.finditer(*place)), _MOST_MATCHES)


def _nth(pattern: Any, place: tuple[Any, int, int], number: int) -> Any:
    return next(itertools.islice(_matches(pattern, place), number, None))
