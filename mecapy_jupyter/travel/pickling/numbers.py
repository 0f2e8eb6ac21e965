"""The numbers of objects that travelled: which belong to the notebook, and which were created for
the pickle only (a state from `__getstate__`, the memory of an array). The latter get no number,
because the other side has its own.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from itertools import compress
from pickle import PickleBuffer

from mecapy_jupyter.travel.hooks import references

TEXT = (str, bytes)
"""Results that are to be found again name none of these by number: the pickler's own strings come
and go, and ids that cloudpickle draws for classes differ between kernels.
"""


def without_temporary(objects: list[object]) -> dict[int, object]:
    """Objects that something besides this list refers to, by number. Empties the list."""
    references.keep_held(objects)
    found = {
        number: obj
        for number, obj in enumerate(objects)
        if obj is not None and type(obj) is not PickleBuffer
    }
    objects.clear()
    return found


def written(memo: Mapping[int, object], count: int) -> bytes:
    """The numbers that have an object, in compact form."""
    flags = bytearray(count)
    for number in memo:
        flags[number] = 1
    return zlib.compress(flags, 1)


def chosen(memo: dict[int, object], numbered: bytes) -> dict[int, object]:
    """Those of the opened objects that `written` names."""
    flags: Sequence[int] = zlib.decompress(numbered)
    return dict(compress(memo.items(), flags))
