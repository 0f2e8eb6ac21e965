"""Every kind of array and table through the real line: it arrives equal and writable, both ways,
and a change in place comes home.
"""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mecapy_jupyter import Client

# What both sides run. Sizes are such that the bytes travel beside the stream, each buffer a blob.
MEANS = """
import numpy as np, pandas as pd, scipy.sparse

def equal(a, b):
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ma.MaskedArray):
        masks = np.asarray(a.mask), np.asarray(b.mask)
        return a.fill_value == b.fill_value and equal(*masks) and equal(a.data, b.data)
    if isinstance(a, np.ndarray):
        by_columns = b.flags.f_contiguous and not b.flags.c_contiguous
        alike = a.dtype == b.dtype and a.shape == b.shape and bool((a == b).all())
        return alike and (a.flags.f_contiguous or not by_columns)
    if scipy.sparse.issparse(a):
        alike = a.format == b.format and a.dtype == b.dtype and a.shape == b.shape
        return alike and not abs(a - b).count_nonzero()
    if isinstance(a, (pd.DataFrame, pd.Series)):
        kinds = a.dtypes.equals(b.dtypes) if isinstance(a, pd.DataFrame) else a.dtype == b.dtype
        return kinds and a.equals(b) and a.index.equals(b.index)
    return a.equals(b)
"""
FIRST, NONE = "{0}.flat[0] = {0}.flat[-1]", ""
DATA, CELL = "{0}.data[0] = 9", "{0}.iloc[0, {1}] = {0}.iloc[1, {1}]"
KINDS = {
    "contiguous": ("np.arange(20_000.0)", FIRST),
    "every other": ("np.arange(40_000.0)[::2]", FIRST),
    "backwards, by columns": ("np.arange(40_000.0).reshape(200, 200)[::-1, 5:150:2]", FIRST),
    "broadcast": ("np.broadcast_to(np.arange(200.0), (200, 200)).copy().T", FIRST),
    "Fortran": ("np.asfortranarray(np.arange(40_000.0).reshape(200, 200))", FIRST),
    "structured": (
        "np.array([(n, (n, 1, 2), 'äb') for n in range(9_000)], [('a', 'i4'), ('b', 'f8', (3,)), "
        "('c', 'U5')])",
        "{0}['b'][0] = 7",
    ),
    "record": (
        "np.rec.array([(n, n / 2) for n in range(9_000)], dtype=[('a', 'i4'), ('b', 'f8')])",
        "{0}.a[0] = 7",
    ),
    "object": ("np.array([None, 'a', 2**70, 1.5] * 9_000, dtype=object)", FIRST),
    "masked": (
        "np.ma.masked_array(np.arange(20_000.0), np.arange(20_000) % 7 == 0, fill_value=-1.0)",
        "{0}[1] = np.ma.masked",
    ),
    "no element": ("np.empty((0, 3), 'f4')", NONE),
    "no element of many": ("np.ones((1000, 100))[5:5]", NONE),
    "one number": ("np.array(3.5)", "{0}[...] = 4.5"),
    "moments": ("np.arange(20_000).astype('M8[s]')", FIRST),
    "big endian": ("np.arange(20_000, dtype='>f8')", FIRST),
    "texts": ("np.array(['ä', 'b' * 9] * 9_000)", FIRST),
    "complex": ("np.arange(20_000) * 1j", FIRST),
    **{
        f"sparse {kind}": (f"scipy.sparse.random(600, 600, 0.1, {kind!r}, random_state=0)", DATA)
        for kind in ("csr", "csc", "coo", "bsr")
    },
    "sparse array": (
        "scipy.sparse.csr_array(scipy.sparse.random(600, 600, 0.1, random_state=0))",
        DATA,
    ),
    "sparse diagonals": ("scipy.sparse.diags([np.arange(20_000.0)], [1])", "{0}.data[0, 5] = 9"),
    "frame of numbers": (
        "pd.DataFrame({'a': np.arange(20_000.0), 'b': np.arange(20_000.0) ** 2})",
        CELL.format("{0}", 0),
    ),
    "frame of texts": (
        "pd.DataFrame({'a': ['ä', 'b'] * 9_000, 'b': pd.array(['x', None] * 9_000, 'string')})",
        CELL.format("{0}", 1),
    ),
    "frame of categories": (
        "pd.DataFrame({'a': pd.Categorical(['u', 'v', None] * 9_000, ordered=True)})",
        CELL.format("{0}", 0),
    ),
    "frame of times": (
        "pd.DataFrame({'a': pd.date_range('2026-01-01', periods=20_000, freq='s'), 'b': "
        "pd.date_range('2026', periods=20_000, tz='UTC')})",
        CELL.format("{0}", 1),
    ),
    "frame with gaps": (
        "pd.DataFrame({'a': pd.array([1, None] * 9_000, 'Int64')}, index=pd.RangeIndex(5, 18_005))",
        CELL.format("{0}", 0),
    ),
    "frame of levels": (
        "pd.DataFrame({'a': np.arange(1e4)}, index=pd.MultiIndex.from_product([range(100), "
        "range(100)]))",
        CELL.format("{0}", 0),
    ),
    "series": ("pd.Series(np.arange(20_000.0), name='s')", "{0}.iloc[0] = 7"),
}


@pytest.fixture(scope="module")
def here() -> dict[str, Any]:
    means: dict[str, Any] = {}
    exec(MEANS, means)
    return means


@pytest.mark.parametrize(("make", "write"), KINDS.values(), ids=KINDS)
def test_there_and_back(client: Client, here: dict[str, Any], make: str, write: str) -> None:
    """The worker's own one equals the one that was sent, and comes home equal; both can be written
    to, on both sides.
    """
    x = eval(make, here)  # noqa: S307 ours
    code = f"{MEANS}\ny = {make}\nsame = equal(x, y)\n{write.format('x')}"
    home = client.run(code, {"x": x}, outputs=["x", "y", "same"]).vars
    assert home["same"] is True and here["equal"](home["y"], eval(make, here))  # noqa: S307 ours
    expected = dict(here, x=eval(make, here), y=home["y"])  # noqa: S307 ours
    exec(write.format("x"), expected)
    assert home["x"] is x and here["equal"](
        x, expected["x"]
    )  # changed in place there, so it is here
    exec(f"{write.format('y')}\n{write.format('x')}", expected)
    assert here["equal"](home["y"], x)


HOLDERS = {
    "list": ("[np.arange(20_000.0)]", "x[0][7] = -1.0", "x[0][7]"),
    "dict of lists": ("{'a': [np.arange(20_000.0)]}", "x['a'][0][7] = -1.0", "x['a'][0][7]"),
    "namespace": ("types.SimpleNamespace(a=np.arange(20_000.0))", "x.a[7] = -1.0", "x.a[7]"),
}


@pytest.mark.parametrize(("make", "change", "where"), HOLDERS.values(), ids=HOLDERS)
def test_named_with_o_and_changed_inside(
    client: Client, make: str, change: str, where: str
) -> None:
    """An input that is asked for by name brings the change of whatever it holds; one that is not
    asked for stays as it is.
    """
    x = eval(make, {"np": np, "types": types})  # noqa: S307 ours
    other = np.arange(20_000.0)
    home = client.run(f"{change}; other[7] = -1.0", {"x": x, "other": other}, outputs=["x"]).vars
    assert eval(where, home) == -1.0  # noqa: S307
    assert home["x"] is x or make.startswith("types.")  # what Python cannot refill is a new object
    assert other[7] == 7.0


def test_a_file_in_memory(client: Client, tmp_path: Path) -> None:
    """A memory-mapped array arrives as an array, writable, and what was changed there is changed in
    its file here.
    """
    x = np.memmap(tmp_path / "x", "f8", "w+", shape=20_000)
    x[:] = np.arange(20_000.0)
    home = client.run("total = float(x.sum()); x[0] = -1.0; y = x * 2", {"x": x}).vars
    x.flush()
    assert home["total"] == sum(range(20_000)) and np.fromfile(tmp_path / "x")[0] == -1.0
    home["y"][1] = 5.0
    assert home["y"][0] == -2.0 and home["y"][1] == 5.0
    only_read = np.memmap(tmp_path / "x", "f8", "r")
    assert (
        client.run("total = float(x.sum())", {"x": only_read}).vars["total"] == home["total"] - 1.0
    )


def test_arrow(client: Client) -> None:
    """Tables of texts, categories, moments and lists, there and back; a frame of Arrow's types,
    too.
    """
    pa = pytest.importorskip("pyarrow")
    make = (
        "pa.table({'n': list(range(9_000)), 't': ['ä', None, 'c'] * 3_000, 'l': [[1, 2], [], "
        "None] * 3_000,"
        " 'd': pa.array(['u', 'v', 'u'] * 3_000).dictionary_encode(), 'm': pa.array(range(9_000), "
        "pa.timestamp('us', 'UTC'))})"
    )
    table = eval(make, {"pa": pa})  # noqa: S307 ours
    home = client.run(
        f"import pyarrow as pa\ny = {make}\nsame = x.equals(y) and x.schema == y.schema",
        {"x": table},
    ).vars
    assert home["same"] is True and home["y"].equals(table) and home["y"].schema == table.schema
    frame = table.to_pandas(types_mapper=__import__("pandas").ArrowDtype)
    back = client.run("y = x.copy()", {"x": frame}).vars["y"]
    assert back.equals(frame) and back.dtypes.equals(frame.dtypes)
