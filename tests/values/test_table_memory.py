"""Arrays that share the memory of pandas' tables, read-only arrays and dtypes: after the cell and a
further change in the notebook they are as if the cell had run there.
"""

from __future__ import annotations

import weakref

import numpy as np
import pytest

from mecapy_jupyter.travel.pickling import payload

from .notebook import Notebook

FRAME = "df = pd.DataFrame({'x': np.arange(4.), 'y': np.arange(4.)}); "
SERIES = "s = pd.Series(np.arange(20_000.)); "

CASES = {
    "an array of a column in a dict": (
        FRAME + "held = {'x': df['x'].values}",
        "df.loc[2, 'x'] = -1.0",
        "df held",
        "df.loc[1, 'x'] = 8.0",
        "held['x'].tolist(), df.x.tolist()",
    ),
    "an array of a column beside the table": (
        FRAME + "v = df['x'].values",
        "df.iloc[0, 0] = 7.0",
        "df v",
        "df.iloc[1, 0] = 8.0",
        "v.tolist(), df.x.tolist()",
    ),
    "an array that a column was made of": (
        "a = np.zeros(3); s = pd.Series(a, copy=False); held = [a]",
        "held[0][1] = 7.0; s.iloc[2] = 1.0",
        "held s",
        "a[0] = 5.0",
        "a.tolist(), s.tolist()",
    ),
    "another table shares the memory and stays": (
        FRAME + "other = df[['x']]; v = df['x'].values",
        "df.iloc[0, 0] = 7.0",
        "df v",
        "df.iloc[1, 0] = 8.0",
        "v.tolist(), df.x.tolist(), other.x.tolist()",
    ),
    "an array of a column made there": (
        SERIES,
        "s.iloc[0] = 5.0; v = s.values",
        "s",
        "s.iloc[1] = 77.0",
        "v[:3].tolist(), s.iloc[:3].tolist()",
    ),
    "an extension array beside its column": (
        "s = pd.Series([1, None, 3], dtype='Int64'); a = s.array",
        "s[1] = 7; a[0] = pd.NA",
        "s a",
        "a[2] = 4",
        "str(s.tolist()), str(a.tolist()), s.array is a",
    ),
    "categories in an object": (
        "class M: pass\nm = M(); m.df = pd.DataFrame({'k': pd.Categorical(['a', 'b'])})\n"
        "m.codes = m.df['k'].array",
        "m.df.loc[1, 'k'] = 'a'",
        "m",
        "m.codes[0] = 'b'",
        "m.codes.tolist(), m.df.k.tolist()",
    ),
    "a read-only array allowed": (
        "a = np.arange(20_000.); a.flags.writeable = False; b = a",
        "a.flags.writeable = True; a[0] = 5.0",
        "a b",
        "b[1] = 6.0",
        "a[:3].tolist(), a is b",
    ),
    "a read-only view of a column allowed": (
        FRAME + "v = df['x'].values",
        "v.flags.writeable = True; v[0] = 9.0",
        "v",
        "v[1] = 8.0",
        "v.tolist(), df.x.tolist()",
    ),
    "an array made read-only": (
        "a = np.arange(3.)",
        "a.flags.writeable = False; v = a[:2]",
        "a",
        "",
        "a.flags.writeable, v.flags.writeable",
    ),
    "fields renamed": (
        "a = np.zeros(2, dtype=[('p', 'i4'), ('q', 'f4')]); held = [a]; kind = a.dtype",
        "a.dtype.names = 'r', 's'; a['r'] = 3",
        "a",
        "",
        "held[0].tolist(), held[0].dtype.names, kind.names",
    ),
}


@pytest.mark.parametrize(
    ("setup", "cell", "names", "later", "seen"), CASES.values(), ids=map(str, CASES)
)
def test_as_if_the_cell_had_run_here(
    setup: str, cell: str, names: str, later: str, seen: str
) -> None:
    """What is seen after the cell is what is seen without a worker."""
    there, here = Notebook(), Notebook()
    for notebook in (there, here):
        notebook.local(setup)
    there.remote(cell, *names.split())
    here.local(cell)
    for notebook in (there, here):
        notebook.local(f"{later}\nseen = {seen}")
    assert there.ns["seen"] == here.ns["seen"]


def test_what_was_packed_is_not_held() -> None:
    """Nothing of the pickler keeps what it packed until the garbage collector comes: pandas asks
    who is alive before it writes.
    """

    class Held: ...

    array = np.arange(4.0)
    held = [Held(), array, array[:2]]
    gone = weakref.ref(held[0])
    payload.pack([{"held": held}], {})
    del held
    assert gone() is None
