"""Pickles matplotlib's figures with the callbacks between their parts, most of which matplotlib
drops. Known for matplotlib 3.8 to 3.11; tests/magic/test_figures.py is the canary. It never imports
a package.
"""

from __future__ import annotations

import copyreg
import sys
import types
from collections.abc import Iterator
from typing import Any, cast

from mecapy_jupyter.travel.hooks import pickles

_new: Any = cast(Any, copyreg).__newobj__


def takes_apart(cls: type[Any]) -> bool:
    return _is_registry(cls) or _is_figure(cls)


def _is_registry(cls: type[Any]) -> bool:
    cbook: Any = sys.modules.get("matplotlib.cbook")
    return cbook is not None and cls is cbook.CallbackRegistry


def _is_figure(cls: type[Any]) -> bool:
    figure: Any = sys.modules.get("matplotlib.figure")
    return figure is not None and issubclass(cls, figure.Figure) and pickles.by_default(cls)


def reduced(obj: Any) -> Any:
    """How to pickle a registry of callbacks, or a figure. Open figures travel by themselves
    (`open_figures`), because matplotlib would renumber and draw them.
    """
    cls: Any = cast(Any, type(obj))
    state: dict[str, Any] = obj.__getstate__()
    if _is_registry(cls):
        state["callbacks"] = {signal: dict(_kept(obj, signal)) for signal in obj.callbacks}
    else:
        state.pop("_restore_to_pylab", None)
    return _new, (cls,), state


def _kept(registry: Any, signal: str) -> Iterator[tuple[int, Any]]:
    for cid, proxy in registry.callbacks[signal].items():
        callback = proxy()
        if callback is not None and (cid in registry._pickled_cids or _travels(callback)):
            yield cid, callback


def _travels(callback: Any) -> bool:
    """Whether it belongs to a figure or the notebook, and not to a window of this process."""
    owner: Any = cast(
        Any, callback.__self__ if isinstance(callback, types.MethodType) else callback
    )
    is_function = isinstance(owner, types.FunctionType)
    home = str(owner.__module__ if is_function else type(owner).__module__)
    if is_function:
        return home == "__main__"
    return home.startswith(("matplotlib.", "mpl_toolkits.")) and not home.startswith(
        ("matplotlib.backend", "matplotlib.widgets")
    )
