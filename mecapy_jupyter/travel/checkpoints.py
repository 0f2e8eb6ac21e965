"""What a task keeps for its next attempt: `checkpoint(obj)` stores it, `restored()` gives it back
after a lost worker, a retry, or a move to a larger machine. Only the last one is kept, until the
task ends. Outside of a task both do nothing.
"""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from typing import Any

import cloudpickle

Save = Callable[[bytes], object]

_save: Save | None = None
_held: bytes | None = None
_owner = 0


def connect(save: Save) -> None:
    """Send this process's checkpoints to `save` from here on; nothing was restored."""
    global _save, _held, _owner
    _save, _held, _owner = save, None, os.getpid()


def disconnect() -> None:
    """Checkpoints are dropped, and nothing was restored."""
    global _save, _held
    _save = _held = None


def hold(stored: bytes) -> None:
    """What the attempt before kept."""
    global _held
    _held = stored


def checkpoint(obj: object) -> None:
    """Keep a copy of `obj` for the next attempt, in place of the one before. Raises what pickling
    raises.
    """
    if _save is not None and os.getpid() == _owner:
        _save(_pickled(obj))


def restored(default: Any = None) -> Any:
    """What the last checkpoint of an earlier attempt held; without one, `default`."""
    return default if _held is None else pickle.loads(_held)  # noqa: S301  (of the same owner, in a confined child)


def _pickled(obj: object) -> bytes:
    """Pickled by reference where that is possible, because the next attempt defines the same
    classes.
    """
    try:
        return pickle.dumps(obj, protocol=5)
    except (pickle.PicklingError, AttributeError, TypeError):
        made: bytes = cloudpickle.dumps(obj, protocol=5)  # pyright: ignore[reportUnknownMemberType]
        return made
