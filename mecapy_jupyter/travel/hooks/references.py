"""Which objects something refers to, by CPython's reference counts."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Mapping


def held(memo: Mapping[int, object]) -> list[tuple[int, object]]:
    """Objects that something refers to besides the memo; the others were only needed to open the
    stream.
    """

    def counts(memo: Mapping[int, object]) -> list[int]:
        return [sys.getrefcount(obj) for obj in memo.values()]

    (alone,) = counts({0: object()})
    return [
        (number, obj)
        for (number, obj), count in zip(memo.items(), counts(memo), strict=True)
        if count > alone or weakref.getweakrefcount(obj)
    ]


def keep_held(objects: list[object]) -> None:
    """Replaces objects that only the list refers to by None, from the last to the first, because a
    state usually follows the dict that it is made of.
    """
    counted, probe = sys.getrefcount, [object()]
    obj = probe[0]
    alone = counted(obj)
    for number in range(len(objects) - 1, -1, -1):
        obj = objects[number]
        if counted(obj) == alone and not weakref.getweakrefcount(obj):
            objects[number] = None
