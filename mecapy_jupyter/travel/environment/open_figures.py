"""pyplot's open figures: their numbers, the current one, and which are still to be drawn.

They travel with the variables, because a figure may be in both: `plt.gcf() is fig`. With inline
figures none is open between two cells, except after `plt.ioff()` or with `%config
InlineBackend.close_figures = False`. Known for matplotlib 3.8 to 3.11 and matplotlib-inline 0.1 and
0.2; tests/magic/test_figures.py is the canary. It never imports a package.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

CARRIED = "pyplot's open figures"
"""Their name among the inputs of a cell."""


@dataclass(frozen=True, slots=True)
class OpenFigures:
    """`numbered`: (number, figure), the current one last. `to_draw`: drawn at the end of the cell
    unless `drawn`.
    """

    numbered: tuple[tuple[Any, Any], ...] = ()
    to_draw: tuple[Any, ...] = ()
    drawn: bool = True


def current() -> OpenFigures | None:
    """The open figures of this process; None if pyplot is not loaded."""
    managers = _managers()
    if managers is None:
        return None
    numbered = tuple((number, each.canvas.figure) for number, each in managers.items())
    show = _inline_show()
    if show is None:
        return OpenFigures(numbered)
    return OpenFigures(numbered, tuple(show._to_draw), not show._draw_called)


def put(figures: OpenFigures) -> None:
    """Open these figures, and close all others."""
    managers = _managers()
    if managers is None and not figures.numbered:
        return
    pyplot: Any = __import__("matplotlib.pyplot").pyplot
    registry: Any = sys.modules["matplotlib._pylab_helpers"].Gcf
    of_figure = {id(each.canvas.figure): each for each in registry.figs.values()}
    wanted = {id(figure) for _, figure in figures.numbered}
    for manager in list(registry.figs.values()):
        if id(manager.canvas.figure) not in wanted:
            registry.destroy(manager)
    registry.figs.clear()
    for number, figure in figures.numbered:
        manager = of_figure.get(id(figure))
        if manager is None or manager.canvas is not figure.canvas:
            manager = pyplot._get_backend_mod().new_figure_manager_given_figure(number, figure)
        manager.num = number
        registry._set_new_active_manager(manager)
    if (show := _inline_show()) is not None:
        show._to_draw, show._draw_called = list(figures.to_draw), not figures.drawn


def _managers() -> Any:
    helpers: Any = sys.modules.get("matplotlib._pylab_helpers")
    return None if helpers is None else helpers.Gcf.figs


def _inline_show() -> Any:
    inline: Any = sys.modules.get("matplotlib_inline.backend_inline")
    return None if inline is None else inline.show
