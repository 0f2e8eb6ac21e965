"""Pickles objects of Python and NumPy that have no pickle, and that their maker makes again: a
match of a regular expression, a vectorized function. Part of `reducers`. The functions named in the
results run on the other side.
"""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Iterator
from typing import Any, cast

_MOST_MATCHES = 1_000
_WAYS = ("match", "search", "fullmatch")


def takes_apart(cls: type[Any]) -> bool:
    numpy: Any = sys.modules.get("numpy")
    return cls is re.Match or (numpy is not None and issubclass(cls, numpy.vectorize))


def reduced(obj: Any) -> Any:
    """How to pickle `obj`; None for a match that `finditer` found after many others."""
    cls = cast("type[Any]", type(obj))
    if cls is re.Match:
        return _match(obj)
    held = cast("dict[str, Any]", vars(obj))
    state = {name: value for name, value in held.items() if name != "_ufunc"}
    return _vectorized, (cls,), state


def _vectorized(cls: Any) -> Any:
    """The same, with an empty cache in place of what cannot be pickled."""
    made = cls.__new__(cls)
    made._ufunc = {}
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
