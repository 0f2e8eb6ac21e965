"""Arrays, tables and generators there and back between two processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from .notebook import Notebook

FRAMES = {
    "setitem": "df['z'] = df['x'] * 2",
    "loc": "df.loc[0, 'x'] = 99.0",
    "pop": "df.pop('s')",
    "append row": "df.loc[len(df)] = [5.0, 'new', pd.Timestamp('2020-01-01')]",
}


@pytest.mark.parametrize("change", FRAMES.values(), ids=FRAMES)
def test_a_frame_changed_in_place_stays_itself(notebook: Notebook, change: str) -> None:
    """A DataFrame is changed through all its names; a copy made before is not."""
    notebook.local(
        "df = pd.DataFrame({'x': [1., 2.], 's': ['a', None], 't': pd.date_range('2020', "
        "periods=2)})"
    )
    notebook.local("alias = df; before = df.copy()")
    kept = notebook.ns["before"].copy()
    expected = notebook.ns["df"].copy()
    exec(change, {"df": expected, "pd": pd})
    notebook.remote(change, "df")
    pd.testing.assert_frame_equal(notebook.ns["alias"], expected)
    pd.testing.assert_frame_equal(notebook.ns["before"], kept)


def test_a_lazy_copy_of_a_frame_is_not_touched(notebook: Notebook) -> None:
    """pandas shares memory between frames until one is written: a change that comes home must not
    leak into the other.
    """
    notebook.local("df = pd.DataFrame({'x': np.arange(5.)}); shares = df[:]")
    notebook.remote("df.iloc[0, 0] = 100.0", "df")
    assert notebook.ns["df"].iloc[0, 0] == 100.0 and notebook.ns["shares"].iloc[0, 0] == 0.0


def test_random_generators_go_on(notebook: Notebook) -> None:
    """A generator advanced remotely draws on from there at home."""
    notebook.local("rng = np.random.default_rng(1); alias = rng")
    reference = np.random.default_rng(1)
    expected = reference.random(3), reference.random(3)
    notebook.remote("y = rng.random(3)", "rng")
    assert (
        notebook.ns["y"].tolist() == expected[0].tolist()
        and notebook.ns["alias"].random(3).tolist() == expected[1].tolist()
    )


ARRAYS: dict[str, Any] = {
    "strided": np.arange(100_000.0)[::3],
    "fortran": np.asfortranarray(np.arange(90_000.0).reshape(300, 300)),
    "negative": np.arange(10)[::-1],
    "strided, of the other byte order": np.arange(10, dtype=">f4")[::-2],
    "structured": np.array([(1, 2.0, "x")], dtype=[("a", "i4"), ("b", "f8"), ("c", "U3")]),
    "object": np.array([1, "a", None, [1, 2]], dtype=object),
    "empty": np.zeros((0, 3)),
    "zero-d": np.array(3.0),
    "bool": np.array([True, False]),
    "complex": np.arange(20_000) * 1j,
    "datetime": np.array(["2020-01-01"], dtype="datetime64[D]"),
}


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS)
def test_arrays_make_the_trip(notebook: Notebook, array: Any) -> None:
    """Every kind of array arrives equal, of the same type, and writable."""
    notebook.ns["a"] = array
    notebook.remote("b = a.copy(order='K'); same = b.flags.writeable and a.flags.writeable", "a")
    back = notebook.ns["b"]
    assert (
        back.dtype == array.dtype
        and back.shape == array.shape
        and np.array_equal(back, array)
        and notebook.ns["same"]
    )
    assert back.flags.writeable


def test_sparse_and_masked(notebook: Notebook) -> None:
    """Sparse matrices and masked arrays arrive equal; a sparse matrix changed in place stays
    itself.
    """
    notebook.ns |= {
        "s": scipy.sparse.random_array((300, 300), density=0.1, format="csr", rng=1),
        "m": np.ma.masked_less(np.arange(5), 2),
    }
    original, expected = notebook.ns["s"], notebook.ns["s"] * 2
    notebook.remote("s.data *= 2; n = m * 2", "s", "m")
    assert notebook.ns["s"] is original and (original != expected).nnz == 0
    assert notebook.ns["n"].tolist() == [None, None, 4, 6, 8]


def test_arrow_tables(notebook: Notebook) -> None:
    """An Arrow table arrives equal and is what the cell computes with: text, dictionaries, times,
    lists, gaps; large and empty.
    """
    arrow = pytest.importorskip("pyarrow")
    numbers = range(50_000)
    table = arrow.table({
        "x": arrow.array(np.arange(50_000.0)),
        "s": [None if n % 7 == 0 else f"ü{n}" for n in numbers],
        "c": arrow.array([f"k{n % 5}" for n in numbers]).dictionary_encode(),
        "t": arrow.array(np.arange(50_000), arrow.timestamp("us", "Europe/Paris")),
        "l": [[n, n] for n in numbers],
    })  # fmt: skip
    notebook.ns |= {
        "t": table,
        "part": table.slice(10, 100),
        "none": table.slice(0, 0),
        "f": table.to_pandas(types_mapper=pd.ArrowDtype),
    }
    notebook.remote(
        "u = t.append_column('y', t['x']); g = f.copy(); g['x'] = g['x'] * 2; same = (t, part, "
        "none)",
        "t",
        "part",
        "none",
        "f",
    )
    assert (
        notebook.ns["u"].equals(table.append_column("y", table["x"]))
        and notebook.ns["same"][0] is table
    )
    assert notebook.ns["g"]["x"].sum() == 2 * np.arange(50_000.0).sum()
    assert notebook.ns["g"].drop(columns="x").equals(notebook.ns["f"].drop(columns="x"))
    assert notebook.ns["none"].num_rows == 0 and notebook.ns["part"].equals(table.slice(10, 100))


def test_frames_with_every_kind_of_column(notebook: Notebook) -> None:
    """Text, categories, times with and without a zone, whole numbers with gaps, an index of two
    levels: equal, and writable.
    """
    count = 20_000
    frame = pd.DataFrame({
        "s": pd.Series([f"ü{n}" for n in range(count)], dtype="string"),
        "o": [f"o{n}" for n in range(count)],
        "c": pd.Categorical([f"k{n % 5}" for n in range(count)], ordered=True),
        "i": pd.array([1, None] * (count // 2), dtype="Int64"),
        "t": pd.date_range("2020-01-01", periods=count, freq="s"),
        "z": pd.date_range("2020-01-01", periods=count, freq="s", tz="UTC"),
        "d": pd.to_timedelta(np.arange(count), unit="s"),
    }).set_index(["o", "i"], drop=False)  # fmt: skip
    notebook.ns |= {"f": frame, "none": frame.iloc[:0]}
    notebook.remote(
        "g = f.copy(); f.iloc[0, 0] = 'new'; g.iloc[1, 0] = 'other'; h = none.copy()", "f", "none"
    )
    back = notebook.ns["g"]
    assert (back.iloc[0, 0], back.iloc[1, 0], frame.iloc[0, 0]) == ("ü0", "other", "new")
    pd.testing.assert_frame_equal(back.iloc[2:], frame.iloc[2:])
    back.loc[:, "t"] = back["t"] + pd.Timedelta(days=1)
    pd.testing.assert_frame_equal(notebook.ns["h"], frame.iloc[:0])


def test_memory_mapped_arrays(notebook: Notebook, tmp_path: Path) -> None:
    """What a memory map shows comes home equal and writable, its file untouched."""
    np.arange(100_000.0).tofile(tmp_path / "m")
    notebook.ns["m"] = np.memmap(tmp_path / "m", "f8", mode="r")
    notebook.remote("b = m * 1; n = m.sum()", "m")
    notebook.ns["b"][0] = 5
    assert (
        np.array_equal(notebook.ns["b"][1:], notebook.ns["m"][1:])
        and notebook.ns["n"] == np.arange(100_000.0).sum()
    )


@pytest.mark.filterwarnings("error")
def test_results_of_broadcast_arrays_give_no_warning() -> None:
    """NumPy warns when somebody reads their `flags.writeable`; the notebook has not."""
    notebook = Notebook()
    notebook.local("a, b = np.broadcast_arrays(np.ones((2, 1)), np.arange(3.0)); held = [a]")
    made = "c = np.broadcast_arrays(np.ones((2, 1)), np.arange(3.0))[1]; s = a.sum()"
    notebook.remote(made, "a", "b", "held")
    assert notebook.ns["c"].tolist() == [[0, 1, 2]] * 2 and notebook.ns["s"] == 6
    assert notebook.ns["held"][0] is notebook.ns["a"]


def test_functions_of_a_class_of_arrays_are_not_called() -> None:
    """`__array_function__` runs for what the cell calls, and for nothing else."""
    notebook = Notebook()
    notebook.local("""
        class Signal(np.ndarray):
            def __array_function__(self, function, types, args, kwargs):
                calls.append(function.__name__)
                return super().__array_function__(function, types, args, kwargs)
        calls = []
        s = np.arange(4.0).view(Signal); part = s[1:]
        """)
    notebook.remote("np.mean(s); part[0] = 9", "s", "part", "calls", "Signal")
    assert notebook.ns["calls"] == ["mean"] and notebook.ns["s"][1] == 9


def test_a_table_travels_without_what_patsy_hangs_on_it(notebook: Notebook) -> None:
    """patsy refuses to pickle it, so each model of a formula would stay on the worker."""
    notebook.local("def refuse(self): raise NotImplementedError")
    notebook.local("Design = type('Design', (), {'__getstate__': refuse})")
    notebook.local("Design.__module__ = 'patsy.design_info'; df = pd.DataFrame({'x': [1., 2.]})")
    notebook.local("object.__setattr__(df, 'design_info', Design()); design = df.design_info")
    notebook.remote("df['z'] = 3.0; made = df.copy()", "df")
    df, made = notebook.ns["df"], notebook.ns["made"]
    assert df.columns.tolist() == made.columns.tolist() == ["x", "z"]
    assert df.design_info is notebook.ns["design"]
