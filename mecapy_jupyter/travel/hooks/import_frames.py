"""Python leaves the frames of its own import system out of tracebacks, by their file's name."""

from __future__ import annotations

from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar, cast

_IMPORT_SYSTEM = "<frozen importlib._bootstrap>"
_Loads = TypeVar("_Loads", bound=Callable[..., Any])


def left_out(loads: _Loads) -> _Loads:
    """Leaves `loads`, a loader's `exec_module`, out of tracebacks, so that a failed import shows
    only the lines of the imported module.
    """
    function = cast("FunctionType", loads)
    function.__code__ = function.__code__.replace(co_filename=_IMPORT_SYSTEM)
    return loads
