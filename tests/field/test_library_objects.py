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


@needs("statsmodels")
def test_a_formula_with_a_function_of_the_notebook(compared: Callable[[str], Compared]) -> None:
    """statsmodels evaluates it again where the model is opened: on both sides."""
    found = compared(
        """
        #L
        import pandas as pd, statsmodels.formula.api as smf
        df = pd.DataFrame({"x": [1.0, 2, 3, 4, 5], "y": [1, 2, 2.5, 4, 4.4]})
        def square(v): return v ** power
        power = 2
        #H
        m = smf.ols("y ~ x + square(x)", df).fit()
        #L
        print(m.predict(pd.DataFrame({"x": [1.0]})).round(3).tolist())
        #H
        print(m.predict(pd.DataFrame({"x": [2.0]})).round(3).tolist())
        """
    )
    assert found.out.count("[") == 2, found
    assert (found.differences, found.said) == ([], [])
