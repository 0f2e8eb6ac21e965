"""What a table of results looks like, and what is kept with it."""

from __future__ import annotations

import dataclasses
import datetime

import numpy as np
import pandas as pd
import pytest

from mecapy_jupyter.parameter_sweep.chunk import PointResult
from mecapy_jupyter.parameter_sweep.table import SweepTable, table

from .studies import Beam

AT = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)


def result(value):
    return PointResult(value, None, 0.5, "t1", "w1", AT)


def grid(*values):
    points = [(a, b) for a in (1, 2) for b in (0.1, 0.2)]
    about = {"inputs": ["a", "b"], "code": "ab"}
    return table(["a", "b"], list(zip(points, values, strict=True)), about)


def test_a_dataclass_becomes_columns():
    """Inputs first, then outputs; what failed or is missing has none, and says why."""
    failed = PointResult(None, ValueError("no such beam"), 0.1, "t2", "w1")
    made = grid(result(Beam(1.0, 2.0)), failed, None, result(Beam(3.0, 4.0)))
    assert list(made.columns) == [
        "a", "b", "deflection", "stress", "seconds", "error", "task", "worker",
    ]  # fmt: skip
    assert made.deflection.tolist()[0] == 1.0 and made.deflection.isna().tolist()[1:3] == [True] * 2
    assert made.error.tolist()[1] == "ValueError: no such beam" and pd.isna(made.error[0])
    assert made.task.tolist()[0] == "t1" and pd.isna(made.task[2])
    assert made.attrs["mecapy"]["points"] == 4 and made.attrs["mecapy"]["failed"] == 1
    assert made.attrs["mecapy"]["finished"] == AT.isoformat()


@pytest.mark.parametrize(
    ("value", "columns"),
    [
        (7, {"result": 7}),
        ({"u": 1, "v": 2.0}, {"u": 1, "v": 2.0}),
        ({1: 2}, {"result": {1: 2}}),
        ({}, {"result": {}}),
        ({"a": 3, "seconds": 4}, {"a_out": 3, "seconds_out": 4}),
        (Beam, {"result": Beam}),
    ],
)
def test_what_becomes_columns(value, columns):
    """Texts of a dict name them; a name that an input has gets another."""
    made = grid(*[result(value)] * 4)
    assert {name: made[name][0] for name in columns} == columns


def test_a_none_is_a_result():
    """It differs from no result by its seconds."""
    made = grid(*[result(None)] * 4)
    assert made["result"].isna().all() and made.seconds.tolist() == [0.5] * 4


def test_a_grid_is_a_dataset():
    """A dimension for each input, arrays after them, missing points empty; its attributes stay."""
    pytest.importorskip("xarray", reason="needs xarray (pip install xarray)")
    values = [
        result({"mode": np.arange(3.0) + n, "f": float(n), "material": "steel"}) for n in range(3)
    ]
    made = grid(*values, None).as_dataset()
    assert dict(made.sizes) == {"a": 2, "b": 2, "mode_0": 3}
    assert made["f"].sel(a=2, b=0.1).item() == 2.0 and np.isnan(made["f"].sel(a=2, b=0.2).item())
    assert made["mode"].sel(a=1, b=0.2).values.tolist() == [1.0, 2.0, 3.0]
    assert made.attrs["code"] == "ab"


def test_other_designs_are_a_dataset_of_points():
    """Doubles and samples have one dimension."""
    pytest.importorskip("xarray", reason="needs xarray (pip install xarray)")
    rows = [((1,), result(1.0)), ((1,), result(2.0))]
    made = table(["a"], rows, {"inputs": ["a"]}).as_dataset()
    assert dict(made.sizes) == {"point": 2} and made["result"].values.tolist() == [1.0, 2.0]


def test_without_xarray_the_text_names_it(monkeypatch):
    """And how to get it."""
    monkeypatch.setitem(__import__("sys").modules, "xarray", None)
    with pytest.raises(ImportError, match="pip install xarray"):
        grid(*[result(1)] * 4).as_dataset()


def test_a_file_keeps_what_it_was_computed_with(tmp_path):
    """Parquet has the attributes, and a part of a table is one, too."""
    made = grid(*[result(Beam(1.0, 2.0))] * 4)
    made.to_parquet(tmp_path / "beam.parquet")
    read = pd.read_parquet(tmp_path / "beam.parquet")
    assert read.attrs["mecapy"]["code"] == "ab" and read.stress.tolist() == [2.0] * 4
    part = made[made.a == 2]
    assert type(part) is SweepTable and part.attrs == made.attrs


def test_a_class_that_only_looks_like_a_result_is_none():
    """A dataclass itself is a value."""
    assert dataclasses.is_dataclass(Beam) and grid(*[result(Beam)] * 4)["result"][0] is Beam
