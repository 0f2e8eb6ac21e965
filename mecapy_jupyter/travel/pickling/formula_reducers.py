"""Pickles statsmodels' data of a formula, which are made again from it: with what the formula names
of the notebook, because statsmodels looks it up in its caller's variables. Part of `reducers`. The
function named in the result runs on the other side.
"""

from __future__ import annotations

import copyreg
import re
import sys
from typing import Any, cast

_WORD = re.compile(r"[^\W\d]\w*")


def takes_apart(cls: type[Any]) -> bool:
    return cls.__module__ == "statsmodels.base.data"


def reduced(obj: Any) -> Any:
    """How to pickle `obj`; None for data without a formula."""
    formula, notebook = getattr(obj, "formula", None), vars(sys.modules["__main__"])
    if not isinstance(formula, str):
        return None
    columns = {*getattr(obj, "frame", ())}
    names = {*_WORD.findall(formula)} & notebook.keys() - columns
    state = obj.__getstate__(), {name: notebook[name] for name in sorted(names)}
    make: Any = cast(Any, copyreg).__newobj__
    return make, (type(obj),), state, None, None, _set


def _set(obj: Any, state: tuple[Any, dict[str, Any]]) -> None:
    held, names = state
    eval("set(held)", {**names}, {"set": obj.__setstate__, "held": held})  # noqa: S307 no text of the user's
