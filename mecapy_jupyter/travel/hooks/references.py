"""Which objects something holds, by CPython's counts of references."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Mapping


def held(memo: Mapping[int, object]) -> list[tuple[int, object]]:
    """Those that something holds besides the memo: the others were only on the way to be opened."""

    def counts(memo: Mapping[int, object]) -> list[int]:
        return [sys.getrefcount(obj) for obj in memo.values()]

    (alone,) = counts({0: object()})
    return [
        (number, obj)
        for (number, obj), count in zip(memo.items(), counts(memo), strict=True)
        if count > alone or weakref.getweakrefcount(obj)
    ]


def keep_held(objects: list[object]) -> None:
    """Put None in the place of what nothing holds besides the list. From the last to the first: a
    state mostly comes after the dict it is made of.
    """
    counted, probe = sys.getrefcount, [object()]
    obj = probe[0]
    alone = counted(obj)
    for number in range(len(objects) - 1, -1, -1):
        obj = objects[number]
        if counted(obj) == alone and not weakref.getweakrefcount(obj):
            objects[number] = None
