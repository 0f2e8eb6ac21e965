"""matplotlib's callbacks between the parts of a figure: a colour bar hears its artist, an artist
its norm. matplotlib drops most of them when a figure is pickled.

Known for matplotlib 3.8 to 3.11; tests/magic/test_figures.py is the canary. It never imports a
package to ask.
"""

from __future__ import annotations

import copyreg
import sys
import types
from collections.abc import Iterator
from typing import Any, cast

_new: Any = cast(Any, copyreg).__newobj__


def takes_apart(cls: type[Any]) -> bool:
    cbook: Any = sys.modules.get("matplotlib.cbook")
    return cbook is not None and cls is cbook.CallbackRegistry


def reduced(obj: Any) -> Any:
    """How to write a registry of callbacks."""
    state: dict[str, Any] = obj.__getstate__()
    state["callbacks"] = {signal: dict(_kept(obj, signal)) for signal in obj.callbacks}
    return _new, (cast(Any, type(obj)),), state


def _kept(registry: Any, signal: str) -> Iterator[tuple[int, Any]]:
    for cid, proxy in registry.callbacks[signal].items():
        callback = proxy()
        if callback is not None and (cid in registry._pickled_cids or _travels(callback)):
            yield cid, callback


def _travels(callback: Any) -> bool:
    """Whether it belongs to a figure or to the notebook, and not to a window of this process."""
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
