"""A task's values as JSON, for clients that sent JSON. What JSON cannot hold becomes {"repr":
text}. It calls methods of the task's objects, and catches whatever they raise.
"""

from __future__ import annotations

import math
import types
from collections.abc import Mapping, Set
from typing import Any, cast

from mecapy_jupyter.shared import own_json as json
from mecapy_worker.shared.nesting import too_deep

_JSON_BYTES = 1024 * 1024  # a larger value stands as its repr
_REPR_CHARS = 10_000
_DEPTH = 50


def of_variables(variables: Mapping[str, Any]) -> dict[str, Any]:
    """The variables that are data."""
    data = {
        name: value
        for name, value in variables.items()
        if not callable(value) and not isinstance(value, types.ModuleType)
    }
    return {name: of(value) for name, value in data.items()}


def of(value: Any) -> Any:
    """`value` as JSON can hold it."""
    if (whole := exact(value)) is not None:
        return whole
    try:
        text = json.dumps(_parts(value, _DEPTH), allow_nan=False)
        if len(text) <= _JSON_BYTES:
            return json.loads(text)
    except Exception:
        pass
    return _shown(value)


def exact(value: Any) -> Any:
    """`value` as JSON without loss; None if impossible."""
    try:
        text = json.dumps(value, default=_plain, allow_nan=False)
        if len(text) > _JSON_BYTES:
            return None
        # Not so deep that the header around it is refused.
        return None if too_deep(f"[[{text}]]", [[whole := json.loads(text)]]) else whole
    except Exception:  # also what a method of the value raises
        return None


def _parts(value: Any, depth: int) -> Any:
    """Part by part, so that a NaN or an object affects only itself."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"repr": repr(float(value))}
    if value is None or type(value) in (bool, int, float, str):
        return value
    if (
        depth
        and isinstance(value, Mapping)
        and all(isinstance(key, str) for key in cast("Mapping[object, object]", value))
    ):
        return {
            key: _parts(item, depth - 1)
            for key, item in cast("Mapping[str, object]", value).items()
        }
    if depth and isinstance(value, (list, tuple)):
        return [_parts(item, depth - 1) for item in cast("list[object]", value)]
    if not depth and isinstance(value, (Mapping, list, tuple)):
        return _shown(value)
    if (whole := exact(value)) is not None:
        return whole
    try:
        return _parts(_plain(value), depth - 1) if depth else _shown(value)
    except Exception:
        return _shown(value)


def _plain(value: Any) -> Any:
    """Arrays, numpy scalars, frames and sets have an obvious JSON form."""
    if _size(value) <= _JSON_BYTES:
        for method in ("tolist", "to_dict"):
            if hasattr(value, method) and not isinstance(value, type):
                return getattr(value, method)()
    if isinstance(value, (set, frozenset)):
        return sorted(cast("Set[object]", value), key=repr)
    raise TypeError(type(value).__name__)


def _size(value: Any) -> int:
    size = getattr(value, "nbytes", 0)
    return size if isinstance(size, int) else 0


def _shown(value: Any) -> dict[str, str]:
    try:
        return {"repr": repr(value)[:_REPR_CHARS]}
    except Exception as error:
        return {"repr": f"<{type(value).__name__}: its repr raises {type(error).__name__}>"}
