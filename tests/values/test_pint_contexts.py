"""Contexts of pint, in a registry that a variable or a module of the user holds."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from .notebook import Notebook


@pytest.mark.field
def test_contexts_of_pint(
    notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Contexts that a registry was given travel with it, of a variable or a module: one with the
    name of a context of pint too, and those of the cell come home.
    """
    pytest.importorskip("pint")
    (tmp_path / "units_of_mine.py").write_text(
        "import pint\nu = pint.UnitRegistry()\nlengths = []\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    add = """
        {0} = pint.Context('{0}')
        {0}.add_transformation('[{1}]', '[time]', lambda r, x: x / (speed * r.{2} / r.s))
        units.u.add_context({0})
    """
    notebook.local("import pint, units_of_mine as units\nspeed = 3\nunits.u.define('crate = 3 m')")
    notebook.local(add.format("sp", "length", "m"))
    notebook.local("units.u.enable_contexts('sp')")
    cell = "time = (2 * units.u.crate).to('s'); units.u.disable_contexts()\n"
    cell += textwrap.dedent(add.format("dp", "mass", "kg"))
    notebook.remote(cell, "pint", "units", "speed", "sp")
    u, time = notebook.ns["units"].u, notebook.ns["time"]
    assert (time.magnitude, str(time.units)) == (2, "second") and time._REGISTRY is u
    assert u._contexts["sp"] is notebook.ns["sp"] and u._contexts["dp"] is notebook.ns["dp"]
    assert (6 * u.kg).to("s", "dp").magnitude == 2 and not u._active_ctx.contexts


@pytest.mark.field
@pytest.mark.parametrize("known", [True, False])
def test_axes_that_know_the_units_of_a_registry(notebook: Notebook, known: bool) -> None:
    """After `setup_matplotlib`, until it is taken back."""
    pytest.importorskip("pint")
    notebook.local("import matplotlib.units, pint\nu = pint.UnitRegistry()\nu.setup_matplotlib()")
    notebook.local(f"u.setup_matplotlib({known}); known = {known}")
    notebook.remote(
        "import matplotlib.figure\naxes = matplotlib.figure.Figure().subplots()\n"
        "axes.plot([1, 2] * (u.mm if known else 1), [3, 4])\nlabel = axes.get_xlabel()\n"
        "there = u.Quantity in matplotlib.units.registry\ndel axes",
        *("u", "known"),
    )
    notebook.local("u.setup_matplotlib(False)")
    assert notebook.ns["there"] == known and notebook.ns["label"] == "millimeter" * known
