"""Pauses the garbage collector while many objects are created at once, because it would search all
of them repeatedly and find nothing.
"""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager

_paused: list[bool] = []  # for each block that runs now, outermost first: whether it was on before


@contextmanager
def uncollected() -> Generator[None]:
    """No collection inside the block; also a decorator."""
    _paused.append(gc.isenabled())
    gc.disable()
    try:
        yield
    finally:
        if _paused.pop():
            gc.enable()


def is_enabled() -> bool:
    """Whether collections happen, once no block pauses them."""
    return _paused[0] if _paused else gc.isenabled()


def set_enabled(is_on: bool) -> None:
    """Now, or after the blocks that pause it."""
    if _paused:
        _paused[0] = is_on
    else:
        (gc.enable if is_on else gc.disable)()
