"""In which formats inline figures are shown: what `%config InlineBackend.figure_format = 'retina'`
set up. Part of `ambient`.
"""

from __future__ import annotations

import contextlib
import importlib
import sys
from typing import Any, cast

from IPython.core.getipython import get_ipython
from IPython.core.pylabtools import select_figure_formats  # pyright: ignore[reportUnknownVariableType]

FRESH: dict[str, Any] = {
    "figure_formats": ["png"],
    "print_figure_kwargs": {"bbox_inches": "tight"},
    "close_figures": True,
}
_MIMES = {
    "image/png": "png",
    "image/svg+xml": "svg",
    "image/jpeg": "jpeg",
    "application/pdf": "pdf",
}
_SHOWN_AS = {"retina": "png", "png2x": "png", "jpg": "jpeg"}


def get() -> dict[str, Any] | None:
    """The back end's settings; None if there is none yet."""
    backend: Any = cast(Any, sys.modules["matplotlib_inline.config"]).InlineBackend
    if not backend.initialized():
        return None
    made = backend.instance()
    now = {name: getattr(made, name) for name in FRESH}
    formats = {_SHOWN_AS.get(name, name) for name in made.figure_formats}
    now["figure_formats"] = (
        sorted(made.figure_formats) if formats == set(_registered()) else _registered()
    )
    return now


def ready() -> None:
    """Makes this shell show a figure that came home, as after a cell that draws one. Only pyplot's
    loaded back end can do that.
    """
    with contextlib.suppress(Exception):  # not its public interface
        pyplot: Any = importlib.import_module("matplotlib.pyplot")
        if "inline" in str(dict[str, Any].get(sys.modules["matplotlib"].rcParams, "backend")):
            pyplot._get_backend_mod()


def _registered() -> list[str]:
    """`set_matplotlib_formats` changes only the shell's formatters."""
    shell: Any = get_ipython()
    figure: Any = getattr(sys.modules.get("matplotlib.figure"), "Figure", None)
    formatters: Any = shell.display_formatter.formatters if shell is not None else {}
    return sorted(
        name
        for mime, name in _MIMES.items()
        if mime in formatters and figure in formatters[mime].type_printers
    ) or ["png"]


def put(state: dict[str, Any]) -> None:
    """Make this shell's figures like that."""
    made: Any = cast(Any, sys.modules["matplotlib_inline.config"]).InlineBackend.instance(
        parent=get_ipython()
    )
    made.shell = get_ipython()
    for name, value in state.items():
        setattr(made, name, set(value) if name == "figure_formats" else value)
    # Setting an equal value triggers no observer, although `set_matplotlib_formats` may have
    # changed the formatters directly.
    select_figure_formats(made.shell, set(state["figure_formats"]), **state["print_figure_kwargs"])
