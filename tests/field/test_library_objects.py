"""Objects of libraries: their own constants by name, and those that are made in a cell."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .cells import Compared, needs


@needs("mpmath")
@pytest.mark.cell("travels", "mpmath with its precision")
def test_names_of_mpmath(compared: Callable[[str], Compared]) -> None:
    """Functions, constants and the number type are the worker's own, with the digits set here."""
    found = compared(
        """
        #L
        from mpmath import sqrt, quad, mpf, mp, pi
        mp.dps = 30
        #H
        print(sqrt(2)); print(mpf(1) / 3, +pi)
        third = mpf(1) / 3
        #L
        print(third * 3 == 1, type(third) is mpf)
        """
    )
    assert found.out.startswith("1.41421356237309504880168872421\n0.3333333333333333333333333333")
    assert found.out.endswith("True True\n")
    assert (found.differences, found.said) == ([], [])


@needs("bokeh")
@pytest.mark.cell("travels", "Figures of bokeh")
def test_a_bokeh_figure_comes_home(compared: Callable[[str], Compared]) -> None:
    """Its lists, which tell their owner of each change, are opened before they have one."""
    found = compared(
        """
        #L
        from bokeh.plotting import figure
        #H
        p = figure(width=200, height=200); r = p.line([1, 2], [3, 4])
        #L
        print(type(p).__name__, r.data_source.data["y"], len(p.renderers))
        """
    )
    assert found.out == "figure [3, 4] 1\n"
    assert (found.differences, found.said) == ([], [])
