"""The numbers of objects that travelled: which of these objects are the notebook's, and which were
made for the pickle alone (the state that a `__getstate__` returns, the memory of an array). The
other side has objects of its own in the place of these, and they get no number.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from itertools import compress
from pickle import PickleBuffer

from mecapy_jupyter.travel.hooks import references


def without_temporary(objects: list[object]) -> dict[int, object]:
    """Those that something holds besides this list, by number. The list is emptied."""
    references.keep_held(objects)
    found = {
        number: obj
        for number, obj in enumerate(objects)
        if obj is not None and type(obj) is not PickleBuffer
    }
    objects.clear()
    return found


def written(memo: Mapping[int, object], count: int) -> bytes:
    """Which of so many numbers have an object, short enough to travel."""
    flags = bytearray(count)
    for number in memo:
        flags[number] = 1
    return zlib.compress(flags, 1)


def chosen(memo: dict[int, object], numbered: bytes) -> dict[int, object]:
    """Of what was opened, the objects that `written` has named."""
    flags: Sequence[int] = zlib.decompress(numbered)
    return dict(compress(memo.items(), flags))
