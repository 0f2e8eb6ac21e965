"""In-place changes of built-in objects whose pickle sets no state. Part of `setters`."""

from __future__ import annotations

import decimal
import itertools
from collections import deque
from collections.abc import Iterator
from typing import Any

from mecapy_jupyter.travel.pickling import reducers

_MOST_COUNTED = 10_000_000


def advance(original: Any, to: tuple[Any, ...]) -> bool:
    """Advances a counter to the position of its counterpart, which `to` describes."""
    at: tuple[Any, ...] = (reducers.counter(original) or original.__reduce__())[1]
    try:
        steps, rest = divmod(to[0] - at[0], (*to, 1)[1])
    except (TypeError, ValueError, ArithmeticError):
        return False
    if rest or to[1:] != at[1:] or not 0 <= steps <= _MOST_COUNTED:
        return False
    taken: Iterator[Any] = itertools.islice(original, int(steps))
    deque(taken, maxlen=0)
    return True


def adjust(original: decimal.Context, new: decimal.Context) -> bool:
    """Sets a context of decimal numbers."""
    for name in ("prec", "rounding", "Emin", "Emax", "capitals", "clamp"):
        setattr(original, name, getattr(new, name))
    original.flags.update(new.flags)
    original.traps.update(new.traps)
    return True
