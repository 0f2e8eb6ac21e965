"""Names inside string annotations (`from __future__ import annotations`), which are looked up in
the notebook when somebody asks for the hints. Part of `payload`.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from typing import Any, cast

_NAME = re.compile(r"[^\W\d]\w*")
_OF_HINTS = frozenset({"typing", "typing_extensions", "types"})


def texts(owner: Any) -> Iterable[str]:
    """The string annotations of a function or class."""
    with suppress(Exception):  # before that, they may be code that fails
        held = cast("dict[str, object]", owner.__annotations__)
        return [text for text in held.values() if isinstance(text, str)]
    return ()


def meant(
    found: Iterable[str],
    namespace: Mapping[str, Any],
    known: Collection[str],
    can_travel: Callable[[Any], bool],
) -> dict[str, Any]:
    """The variables in these strings that are not `known`: types, parts of hints, and modules."""
    names = {name for text in found for name in _NAME.findall(text)} - set(known)
    return {
        name: value
        for name in sorted(names & namespace.keys())
        if _may_be_a_hint(value := namespace[name]) and can_travel(value)
    }


def _may_be_a_hint(value: Any) -> bool:
    if issubclass(type(value), (type, types.ModuleType)):
        return True
    return str(type(value).__module__) in _OF_HINTS and not isinstance(value, types.FunctionType)
