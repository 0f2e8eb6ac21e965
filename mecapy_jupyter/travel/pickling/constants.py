"""Values that Python code compares by identity and pickle copies: NaN, and `argparse.SUPPRESS`, a
string. They stand in a stream as negative numbers: the first few are fixed, each other NaN gets its
own. Part of `pickler`.
"""

from __future__ import annotations

import importlib
import math
import struct
import sys
from collections.abc import Mapping

_EVERYWHERE = (("math", "nan"), ("numpy", "nan"), ("argparse", "SUPPRESS"))
_WRITTEN = (
    *(b"G" + struct.pack(">d", value) for value in (math.nan, -math.nan)),
    b"==SUPPRESS==",
)


def fixed() -> dict[int, object]:
    """Number → value, for those whose module is loaded."""
    return {
        -place: vars(sys.modules[module])[name]
        for place, (module, name) in enumerate(_EVERYWHERE, 1)
        if module in sys.modules
    }


def may_be_in(stream: bytes) -> bool:
    """Whether some may have been pickled as ordinary values."""
    return any(written in stream for written in _WRITTEN)


class NewNumbers:
    """The numbers of NaNs that appear first in one stream. `known`: id → number, of all others."""

    def __init__(self, known: Mapping[int, int]) -> None:
        self._known = known
        self.values: dict[int, object] = {}
        self._numbers: dict[int, int] = {}

    def of(self, nan: float) -> int:
        number = self._numbers.get(id(nan))
        if number is None:
            if not self._numbers:
                self._lowest = min(min(self._known.values(), default=0), -len(_EVERYWHERE))
            number = self._numbers[id(nan)] = self._lowest - 1 - len(self._numbers)
            self.values[number] = nan
        return number


class Met:
    """The values of negative numbers while one stream is opened."""

    def __init__(self) -> None:
        self._fixed = fixed()
        self.values: dict[int, object] = {}

    def of(self, number: int) -> object:
        if -number <= len(_EVERYWHERE):
            if number not in self._fixed:  # it is needed, so importing it is not too early
                importlib.import_module(_EVERYWHERE[-number - 1][0])
                self._fixed = fixed()
            return self._fixed[number]
        if number not in self.values:
            self.values[number] = float("nan")
        return self.values[number]
