"""One kind of state outside the variables: how to read and set it. Never imports a package."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast


@dataclass(frozen=True, slots=True)
class StateKind:
    """`module`: must be loaded. `get`: plain data; None, or equal to `fresh`: the default."""

    module: str
    get: Callable[[], Any]
    put: Callable[[Any], object]
    fresh: Any = None

    def now(self) -> Any:
        """None for the default, and where the module is not loaded."""
        state = self.get() if self.module in sys.modules else None
        return None if self.fresh is not None and state == self.fresh else state


def library(name: str) -> Any:
    return cast(Any, sys.modules[name])


def functions(module: str, get: str, put: str, fresh: Any = None) -> StateKind:
    """What one function of a module returns by name, and another takes."""
    return StateKind(
        module,
        lambda: getattr(library(module), get)(),
        lambda state: getattr(library(module), put)(**state),
        fresh,
    )


def attributes(
    module: str, holder: Callable[[], Any], names: tuple[str, ...] | Mapping[str, Any]
) -> StateKind:
    """Plain attributes of an object that a library keeps, for instance `mpmath.mp`; with the values
    that they have in a new process, where these are known.
    """

    def get() -> dict[str, Any]:
        return {name: getattr(holder(), name) for name in names}

    def put(state: Mapping[str, Any]) -> None:
        for name, value in state.items():
            setattr(holder(), name, value)

    return StateKind(module, get, put, None if isinstance(names, tuple) else dict(names))
