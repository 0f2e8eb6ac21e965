"""Caches of functions (`functools.cache`, `lru_cache`) with results. Nobody can put results into a
cache from outside, so they stay in their process.
"""

from __future__ import annotations

import itertools
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from mecapy_jupyter.travel.pickling import reducers


def filled(objects: Iterable[object], modules: Iterable[str]) -> tuple[str, ...]:
    """The names of those among these objects and in these modules of the user."""
    found: list[Any] = [
        one
        for one in itertools.chain(_with_members(objects, "__main__"), _standing_in(modules))
        if type(one) is reducers.CACHED
    ]
    return tuple(dict.fromkeys(one.__name__ for one in found if one.cache_info().currsize))


def _standing_in(modules: Iterable[str]) -> Iterator[object]:
    for name in modules:
        if (module := sys.modules.get(name)) is not None:
            yield from _with_members(list(vars(module).values()), name)


def _with_members(objects: Iterable[object], module: str) -> Iterator[object]:
    """Also what stands in classes of the module."""
    for one in objects:
        yield one
        if isinstance(one, type) and one.__module__ == module:
            yield from (getattr(each, "__func__", each) for each in list(vars(one).values()))
