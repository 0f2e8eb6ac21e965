"""One kind of state outside the variables: how to read and set it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class StateKind:
    """`module`: must be loaded. `get`: plain data, or None for the default (`fresh`)."""

    module: str
    get: Callable[[], Any]
    put: Callable[[Any], object]
    fresh: Any = None
