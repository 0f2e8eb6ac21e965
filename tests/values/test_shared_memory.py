"""Arrays that share memory, wherever they stand, still share it on the other side; pandas still
copies before it writes; functions that `exec` defined in a dict still read that dict.
"""

from __future__ import annotations

import itertools
import weakref

import pytest

from mecapy_jupyter.shared.errors import CannotSend
from mecapy_jupyter.travel.pickling import payload

from .notebook import Notebook

SOLVER = """
class Solver:
    def __init__(self):
        self.y = np.zeros(4)
        self.position, self.velocity = self.y[:2], self.y[2:]
s = Solver()
"""

CASES = {
    "views in attributes": (
        SOLVER,
        "s.position[:] = 3; total = s.y.sum()",
        "s",
        "s.velocity[0] = 1",
        "(total, s.y.tolist()) == (6, [3, 3, 1, 0])",
    ),
    "views in attributes made there": (
        "x = 0",
        SOLVER + "s.position[0] = 3",
        "x",
        "s.velocity[0] = 1",
        "s.y.tolist() == [3, 0, 1, 0]",
    ),
    "views in a list, without their array": (
        "a = np.arange(6.); parts = [a[:4], a[2:]]; del a",
        "parts[0][3] = 50; seen = parts[1][1]",
        "parts",
        "parts[1][0] = 40",
        "(seen, parts[0].tolist()) == (50, [0, 1, 40, 50])",
    ),
    "a view that a closure uses": (
        "a = np.zeros(3)\ndef make(view):\n    def put(x): view[:] = x\n    return put\n"
        "put = make(a[1:])",
        "put(3); total = a.sum()",
        "a put",
        "put(4)",
        "(total, a.tolist()) == (6, [0, 4, 4])",
    ),
    "a row of a structured array": (
        "t = np.zeros(3, [('x', 'f8'), ('n', 'i4')]); row, other = t[1], t[2:][0]",
        "row['x'] = 4; other['n'] = 2; x = t['x'].sum()",
        "t row other",
        "row['n'] = 7; t['x'][2] = 9",
        "(x, t['x'].tolist(), t['n'].tolist(), other.tolist()) == "
        "(4, [0, 4, 9], [0, 7, 2], (9.0, 2))",
    ),
    "rows of a record array in a list": (
        "t = np.rec.array(np.zeros((2, 2), [('x', 'f8')])); rows = [t[0, 1], t[1, 0]]",
        "rows[0].x = 4; x = t.x.sum()",
        "rows t",
        "rows[1].x = 5",
        "(x, t.x.tolist(), type(rows[1]).__name__) == (4, [[0, 4], [5, 0]], 'record')",
    ),
    "rows that are copies, one of them with objects": (
        "r = np.zeros(2, [('x', 'f8')])[0].copy(); o = np.zeros(2, [('o', object)])[1]",
        "r['x'] = 4; o['o'] = [1]",
        "r o",
        "r['x'] += 1; o['o'].append(2)",
        "(r['x'], o['o']) == (5, [1, 2])",
    ),
    "part of a sparse matrix": (
        "import scipy.sparse\nm = scipy.sparse.csr_array(np.eye(3)); some = m.data[:2]",
        "some[:] = 7; trace = m.trace()",
        "m some",
        "some[0] = 1",
        "(trace, m.trace()) == (15, 9)",
    ),
    "masked arrays with their masks": (
        "m = np.ma.array(np.arange(4.), mask=[0, 0, 1, 0]); view = m[1:]",
        "view[0] = 9; view[2] = np.ma.masked; seen = m.tolist()",
        "m view",
        "view[0] = 8",
        "(seen, m.tolist()) == ([0, 9, None, None], [0, 8, None, None])",
    ),
    "a view of a masked array and of a subclass, made there": (
        "class Named(np.ndarray): pass\nm = np.ma.array([1., 2, 3], mask=[0, 1, 0])\n"
        "a = np.arange(3.).view(Named)",
        "part = m[1:]; tail = a[1:]",
        "m a",
        "part[1] = 9; tail[1] = 9",
        "(m.tolist(), a.tolist(), type(tail)) == ([1, None, 9], [0, 1, 9], Named)",
    ),
    "a field of a record array": (
        "r = np.rec.array([(1, 2.), (3, 4.)], dtype=[('x', int), ('y', float)]); y = r.y",
        "y[0] = 9; seen = r.y.tolist()",
        "r y",
        "y[1] = 8",
        "(seen, r.tolist()) == ([9, 4], [(1, 9), (3, 8)])",
    ),
    "arrays on the memory of Python's own buffers": (
        "import array\nb = bytearray(4); d = array.array('d', [1, 2])\n"
        "on_b, on_d = np.frombuffer(b, 'u1'), np.frombuffer(d)",
        "b[0] = 5; on_b[1] = 6; d[0] = 7; seen = on_d[0]; new = np.frombuffer(b, 'u1')",
        "b d on_b on_d",
        "new[2] = 4; on_d[1] = 3",
        "(seen, list(b), list(d)) == (7, [5, 6, 4, 0], [7, 3])",
    ),
    "an array in an array of objects": (
        "o = np.empty(2, object); o[0] = np.arange(3); o[1] = o[0][1:]",
        "o[1][0] = 9; seen = o[0][1]",
        "o",
        "o[1][1] = 8",
        "(seen, o[0].tolist()) == (9, [0, 9, 8])",
    ),
    "interleaved columns share nothing": (
        "a = np.zeros((40, 60)); columns = [a[:, i] for i in range(60)]; del a",
        "columns[3][:] = 2; total = sum(c.sum() for c in columns)",
        "columns",
        "columns[4][:] = 1",
        "(total, sum(c.sum() for c in columns)) == (80, 120)",
    ),
    "an array and the frame on it": (
        "a = np.zeros((3, 2)); frame = pd.DataFrame(a, columns=['u', 'v'], copy=False)",
        "a[0, 0] = 5; seen = frame.u.tolist()",
        "a frame",
        "a[1, 0] = 6",
        "(seen, frame.u.tolist()) == ([5, 0, 0], [5, 6, 0])",
    ),
    "a dict in which exec defined a function": (
        "d = {}\nexec('k = 2\\ndef f(x): return x + k', d); f = d['f']",
        "d['k'] = 5; seen = f(1); new = {}\nexec('k = 2\\ndef f(x): return x + k', new)",
        "d f",
        "d['k'] = 6; new['k'] = 7",
        "(seen, f(1), new['f'](1), new['f'].__globals__ is new) == (6, 7, 8, True)",
    ),
    "pandas copies a column before it writes": (
        "frame = pd.DataFrame({'u': [1., 2.], 'v': [3., 4.]}); u = frame['u']; "
        "by_u = frame.set_index('u')",
        "frame.iloc[0, 0] = 9; seen = (u.tolist(), by_u.index.tolist()); v = frame['v']",
        "frame u by_u",
        "frame.iloc[1, 1] = 8; u.iloc[1] = 7",
        "(seen, frame.u.tolist(), v.tolist(), by_u.index.tolist()) == "
        "(([1, 2], [1, 2]), [9, 2], [3, 4], [1, 2])",
    ),
}


@pytest.mark.cell("travels", "Arrays that share memory, in frames too")
@pytest.mark.parametrize("name", CASES)
def test_memory_is_shared_as_before(name: str) -> None:
    """A write through one name is seen through the other, there and afterwards at home."""
    before, cell, sent, after, truth = CASES[name]
    notebook = Notebook()
    notebook.local("import numpy as np, pandas as pd\n" + before)
    notebook.remote(cell, *sent.split())
    notebook.local(after)
    assert eval(truth, notebook.ns)  # noqa: S307 our own text


@pytest.mark.cell("refused", "A `weakref.finalize`")
def test_a_finalizer_stays_where_it_is() -> None:
    """A copy would never call its function."""
    finalizer = weakref.finalize(Notebook(), print)
    finalizer.atexit = False
    with pytest.raises(CannotSend, match="works only in the process of its object"):
        payload.pack([finalizer], {})


def test_an_iterator_of_tee_stays_where_it_is() -> None:
    """The others would not get what it reads on the other side: `list` of one never ended."""
    first, _ = itertools.tee([1, 2, 3])
    next(first)
    with pytest.raises(CannotSend, match=r"shares what it has read with the others"):
        payload.pack([first], {})
