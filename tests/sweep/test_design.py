"""Which points a sweep has, and by what each is known."""

from __future__ import annotations

import decimal
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy.stats import qmc

from mecapy_jupyter.parameter_sweep import design
from mecapy_jupyter.parameter_sweep.points import plan
from mecapy_jupyter.travel.environment import setup_cells

from .studies import beam, drawn, marked


def keys(fn, seed=None, there=None, **axes):
    made = plan(fn, design.of(axes), seed, there or {})
    return {point.arguments: point.key for point in made.points}


def test_axes_are_a_grid_in_order():
    """The last one changes fastest; a number or a text is one value; an array gives its own."""
    made = design.of({"a": [1, 2], "b": np.array([0.5, 1.5]), "c": "steel", "d": 7})
    assert made.names == ("a", "b", "c", "d")
    assert made.points == [(a, b, "steel", 7) for a in (1, 2) for b in (0.5, 1.5)]
    assert type(made.points[0][1]) is np.float64


def test_rows_of_a_table_are_points():
    """Each combined with the axes that are given beside it."""
    table = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
    made = design.of({"c": [7, 8]}, table)
    assert made.names == ("a", "b", "c")
    assert made.points == [(1, "x", 7), (1, "x", 8), (2, "y", 7), (2, "y", 8)]


def test_a_sampler_draws_between_bounds():
    """The same sampler draws the same points again, and all lie within."""
    sampler = qmc.LatinHypercube(2, seed=3)
    made = design.of({"a": (0.0, 1.0), "b": (10, 20)}, sampler, 8)
    assert made == design.of({"a": (0.0, 1.0), "b": (10, 20)}, sampler, 8)
    values = np.array(made.points)
    assert values.shape == (8, 2) and (values[:, 0] <= 1).all() and (values[:, 1] >= 10).all()
    assert len(set(np.floor((values[:, 1] - 10) * 0.8))) == 8  # one in each eighth


@pytest.mark.parametrize(
    ("axes", "more", "text"),
    [
        ({}, {}, "needs an axis"),
        ({"a": []}, {}, "needs a point"),
        ({"a": [1]}, {"samples": 3}, "samples="),
        ({"a": [1]}, {"design": [1]}, "takes a DataFrame or a sampler"),
        ({"a": [1]}, {"design": pd.DataFrame({"a": [1]})}, "is a column of design= and an axis"),
        ({"a": (0, 1)}, {"design": qmc.Sobol(2, seed=1), "samples": 4}, "has 2 dimensions"),
        ({"a": 1}, {"design": qmc.Sobol(1, seed=1), "samples": 4}, "is its bounds"),
        ({"a": (0, 1)}, {"design": qmc.Sobol(1, seed=1)}, "needs samples="),
    ],
)
def test_what_is_no_design_is_refused(axes, more, text):
    """With what to write instead."""
    with pytest.raises((ValueError, TypeError), match=text):
        design.of(axes, **more)


@pytest.mark.parametrize(
    ("fn", "axes", "seed", "text"),
    [
        (beam, {"L": [1.0]}, None, "missing a required argument: 'd'"),
        (beam, {"L": [1.0], "D": [1.0]}, None, "unexpected keyword|missing a required"),
        (drawn, {"x": [1]}, None, "give seed="),
    ],
)
def test_arguments_that_do_not_fit_are_refused_here(fn, axes, seed, text):
    """Before anything is sent; the text has the function's signature."""
    with pytest.raises(TypeError, match=text):
        plan(fn, design.of(axes), seed, {})


def test_a_point_is_known_by_its_arguments_and_the_code():
    """Other points and the order of axes do not count; a package's version does."""
    one = keys(marked, x=[1, 2], y=[10])
    assert one[1, 10] == keys(marked, x=[5, 1], y=[10, 30])[1, 10]
    assert one[1, 10] == keys(marked, y=[10], x=[1])[10, 1]
    assert one[1, 10] not in keys(beam, L=[1], d=[10]).values()
    assert keys(drawn, 1, x=[1]) == keys(drawn, 1, {"numpy": "1"}, x=[1])  # it uses no package


def test_packages_that_it_adds_count():
    """They count by what is asked for, in any order; one without a version is named."""
    given = design.of({"x": [1], "y": [10]})

    def planned(*added: str):
        return plan(marked, given, None, {}, added)

    plain, two = planned(), planned("gmsh==4.13", "meshio==5.3")
    others = [planned("gmsh==4.12", "meshio==5.3"), planned("meshio==5.3")]
    assert len({made.points[0].key for made in (plain, two, *others)}) == 4
    assert planned("meshio==5.3", "gmsh==4.13").points[0].key == two.points[0].key
    assert not two.remarks and "whatever version of meshio" in planned("meshio").remarks[0]
    assert two.about["packages"] == ["gmsh==4.13", "meshio==5.3"]


def _change_of(kind, monkeypatch):
    if kind == "precision":
        monkeypatch.setattr(decimal.getcontext(), "prec", 5)
    elif kind == "environment":
        monkeypatch.setenv("LOAD_CASE", "3")
    elif kind == "numpy's errors":
        monkeypatch.setattr(np, "geterr", lambda: {"divide": "raise"})
    elif kind == "setup cell":
        monkeypatch.setattr(setup_cells, "_cells", [setup_cells.SetupCell(1, "G = 1")])
    elif kind == "warnings":
        monkeypatch.setattr(
            warnings, "filters", [*warnings.filters, ("ignore", None, Warning, None, 0)]
        )
    elif kind == "set by an import":
        monkeypatch.setenv("KMP_INIT_AT_FORK", "FALSE")


@pytest.mark.parametrize(
    ("kind", "counts"),
    [
        ("precision", True),
        ("environment", True),
        ("numpy's errors", True),
        ("setup cell", True),
        ("warnings", False),
        ("set by an import", False),
    ],
)
def test_state_that_travels_counts(kind, counts, monkeypatch):
    """What decides a value does; what an import changes, or what is only shown, does not."""
    before = keys(marked, x=[1], y=[2])
    _change_of(kind, monkeypatch)
    assert (keys(marked, x=[1], y=[2]) != before) is counts


def test_what_has_no_content_is_told_and_runs_each_time(tmp_path):
    """The remark names the argument; the key is another one each time."""
    with (tmp_path / "mesh").open("w") as file:
        made, again = (plan(marked, design.of({"x": [file], "y": 1}), None, {}) for _ in range(2))
    assert "x is of the type TextIOWrapper" in made.remarks[0]
    assert made.points[0].key != again.points[0].key


def test_seeds_are_of_the_point_and_not_of_its_place():
    """The same arguments have the same generator in every order; doubles have two."""

    def seeds(*xs):
        made = plan(drawn, design.of({"x": xs}), 42, {})
        return [(point.arguments[0], point.seed, point.key) for point in made.points]

    assert set(seeds(1, 2, 3)) == set(seeds(3, 1, 2))
    (_, one, key), (_, two, other) = seeds(5, 5)
    assert one != two and key != other
    streams = {
        np.random.default_rng(np.random.SeedSequence(seed[0], spawn_key=seed[1:])).random()
        for _, seed, _ in seeds(1, 2, 3, 3)
    }
    assert len(streams) == 4
    first = plan(drawn, design.of({"x": [1]}), 42, {}).points[0]
    assert first.key != plan(drawn, design.of({"x": [1]}), 43, {}).points[0].key
    assert plan(marked, design.of({"x": 1, "y": 1}), 42, {}).points[0].seed is None
