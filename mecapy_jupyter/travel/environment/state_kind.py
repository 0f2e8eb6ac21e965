"""One kind of state outside the variables: how it is read and set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class StateKind:
    """`module`: what must be loaded; `get`: plain data, or None when it is as in a fresh process
    (`fresh`).
    """

    module: str
    get: Callable[[], Any]
    put: Callable[[Any], object]
    fresh: Any = None
