"""Objects of Python and NumPy that code compares by identity, that share memory, or whose pickle
says less than they hold: each row with what the cell sees and what holds at home afterwards.
"""

from __future__ import annotations

import json
import traceback

import pytest

from mecapy_jupyter.travel.pickling import tracebacks

from .test_kinds_of_change import test_a_change_comes_home as comes_home

# before, what the cell reads, the cell, and what holds afterwards
ROWS = {
    "special methods of a class": (
        "class A:\n    def __init__(self): self.k = 1\n    def __len__(self): return 2\na = A()",
        "A a",
        "A.__repr__ = lambda self: 'it'; A.__call__ = lambda self: 5; del A.__init__; "
        "del A.__len__",
        "repr(a) == 'it' and a() == 5 and not hasattr(A(), 'k') and not hasattr(A, '__len__')",
    ),
    "a NaN in lists": (
        "x = float('nan'); l = [x, 1.0]; t = (x,)",
        "x l t",
        "seen = x in l, l.count(x), t == (x,); l.append(x); y = float('nan'); both = [y, y]",
        "seen == (True, 1, True) and l[2] is l[0] is x and both[0] is both[1] is y is not x",
    ),
    "matches of a regular expression": (
        "import re; p = re.compile('(a)|b'); t = 'xab'",
        "p t re",
        "m, f, (_, g) = p.search(t), re.fullmatch('x(..)', t), p.finditer(t)",
        "m[1] == 'a' and m.re is p and m.string is t and f.group(1) == 'ab' "
        "and (g.regs, g.pos, g.lastindex) == (((2, 3), (-1, -1)), 0, None)",
    ),
    "closed files": (
        "import io, os\nwith open(os.devnull, encoding='latin-1') as f: pass\n"
        "with open(os.devnull, 'wb') as b: pass\nm = io.StringIO(); m.close()",
        "f b m os",
        "seen = [(one.closed, type(one).__name__) for one in (f, b, m)], f.name == os.devnull, "
        "f.mode, f.encoding, b.mode\nwith open(os.devnull, 'w') as g: pass",
        "seen == ([(True, 'TextIOWrapper'), (True, 'BufferedWriter'), (True, 'StringIO')], True, "
        "'r', 'latin-1', 'wb') and g.closed and g.name == os.devnull and g.mode == 'w'",
    ),
    "an enumeration of functions": (
        "import enum\nclass Op(enum.Enum):\n    ADD = enum.member(lambda a, b: a + b)\n"
        "    of = enum.nonmember(3)\no = Op.ADD",
        "Op o enum",
        "seen = o is Op.ADD, o.value(2, 3), Op.of\n"
        "class New(enum.Enum):\n    SUB = enum.member(lambda a, b: a - b)\nn = New.SUB",
        "seen == (True, 5, 3) and n is New.SUB and n.value(3, 1) == 2 and len(New) == 1",
    ),
    "a search tree and its points": (
        "from scipy.spatial import KDTree; p = np.arange(8.0).reshape(4, 2); t = KDTree(p)",
        "p t np",
        "seen = t.query([2, 3])[1], np.shares_memory(t.data, p); p[0, 0] = 9\n"
        "from scipy.spatial import cKDTree; q = p + 1; new = cKDTree(q)",
        "seen == (1, True) and t.data[0, 0] == 9 and np.shares_memory(t.data, p) "
        "and np.shares_memory(new.data, q)",
    ),
    "a vectorized function that was called": (
        "k = 2; f = np.vectorize(lambda x: x * k, otypes=[float]); f([1])",
        "f",
        "seen = f([3]).tolist(); k = 5; g = f",
        "seen == [6.0] and g is f and f([1]).tolist() == [5.0]",
    ),
    "a window of an array": (
        "a = np.arange(12.0); w = np.lib.stride_tricks.as_strided(a, (2, 2), (32, 8)); same = w",
        "w",
        "w[1, 1] = -1",
        "w is same and a[5] == -1 and np.shares_memory(a, w)",
    ),
    "windows that slide over an array": (
        "a = np.arange(4.0); w = np.lib.stride_tricks.sliding_window_view(a, 2); same = [w]",
        "a w",
        "a[1] = 9; seen = w[0, 1]; a[2] = 8",
        "seen == 9 and w is same[0] and w.tolist() == [[0, 9], [9, 8], [8, 3]] and "
        "np.shares_memory(a, w) and not w.flags.writeable",
    ),
    "the base of a view of a large array": (
        "a = np.zeros((500, 500)); b = np.arange(6.0).reshape(2, 3)",
        "a b",
        "seen = a[::2].base is a, b.T.base is b",
        "seen == (True, False)",
    ),
    "arrays that own their memory": (
        "a = np.arange(4.0); f = np.zeros((2, 3), order='F'); t = np.array(['2024'], 'M8[s]')",
        "a f t",
        "seen = [x.base for x in (a, f, t)], f.flags.f_contiguous; a.resize(6, refcheck=False); "
        "b = np.ones(2)",
        "seen == ([None] * 3, True) and a.tolist() == [0, 1, 2, 3, 0, 0] and b.base is None and "
        "b.flags.owndata",
    ),
    "__builtins__": (
        "import builtins; __builtins__ = builtins",
        "np",
        "def f(): return 1",
        "__builtins__ is builtins and f() == 1",
    ),
    "NumPy's NaN as a key": (
        "x = np.nan; d = {x: 1}",
        "x d",
        "seen = x in d, x is np.nan; d[np.nan] = 2; y = [np.nan]",
        "seen == (True, True) and d == {np.nan: 2} and y[0] is np.nan",
    ),
    "argparse.SUPPRESS": (
        "import argparse\np = argparse.ArgumentParser(); p.add_argument('--n', type=int, "
        "default=argparse.SUPPRESS)",
        "argparse p",
        "seen = vars(p.parse_args([])); p.add_argument('--m', default=argparse.SUPPRESS)",
        "seen == {} and vars(p.parse_args(['--n', '3'])) == {'n': 3}",
    ),
    "a view of an own type": (
        "class M(np.ndarray): pass\na = np.arange(6.0); m = a[2:].view(M); m.unit = 'mm'",
        "a m",
        "m[0] = 9; a[3] = 8; m.unit = 'm'; seen = a.tolist(), m.tolist()",
        "seen == ([0, 1, 9, 8, 4, 5], [9, 8, 4, 5]) and a.tolist() == seen[0] and m.unit == 'm' "
        "and np.shares_memory(a, m) and type(m) is M",
    ),
    "a record array": (
        "b = np.zeros(2, [('x', float)]); r = b.view(np.recarray)",
        "b r",
        "r.x[1] = 4; seen = b['x'][1]",
        "seen == b['x'][1] == r.x[1] == 4",
    ),
    "a masked array": (
        "d = np.arange(4.0); m = np.ma.array(d, mask=[0, 1, 0, 0], copy=False); k = m.mask",
        "d m k",
        "m[0] = 9; m[2] = np.ma.masked; seen = d[0], m.sum(), m[1] is np.ma.masked",
        "seen == (9, 12, True) and d[0] == 9 and m.mask.tolist() == [0, 1, 1, 0] and "
        "np.shares_memory(m.data, d) and m.fill_value == 1e20",
    ),
    "a table of an own type": (
        "class T(pd.DataFrame):\n    _metadata = ['unit']\n    _constructor = "
        "property(lambda s: T)\nt = T({'a': [1, 2]}); t.unit = 'mm'; same = [t]",
        "t",
        "t['b'] = t.a * 2; t.unit = 'm'; u = t[t.a > 1]",
        "same[0] is t and t.b.tolist() == [2, 4] and t.unit == u.unit == 'm' and type(u) is T",
    ),
    "attributes that pandas leaves out": (
        "class T(pd.Series):\n    _metadata = ['unit']\n    _constructor = property(lambda s: T)\n"
        "t = T([1, 2], name='force'); t.unit = 'N'; d = pd.DataFrame({'a': [1]}); d.source = 'x'",
        "t d T",
        "seen = t.name, t.unit, d.source; d.loc[0, 'a'] = 5; d.source = 'y'; d.made = 3\n"
        "u = T([3], name='moment'); u.unit = 'Nm'",
        "seen == ('force', 'N', 'x') and (u.name, u.unit) == ('moment', 'Nm') and "
        "(d.source, d.made, d.a[0]) == ('y', 3, 5)",
    ),
    "an enumeration whose members have more": (
        "import enum\nclass Mat(enum.Enum):\n    STEEL = (210e3, 7.85); ALU = (70e3, 2.7)\n    "
        "def __init__(s, E, rho): s.E, s.rho = E, rho\nm = Mat.STEEL",
        "m Mat",
        "seen = m.E, Mat.ALU.rho, m is Mat.STEEL; m.note = 'used'",
        "seen == (210e3, 2.7, True) and Mat.STEEL is m and m.note == 'used'",
    ),
    "attributes of the members of an enumeration": (
        "import enum\nclass Mat(enum.Enum):\n    STEEL = 1; ALU = 2\n    def __init__(s, n): "
        "s.uses = 0; s.log = []\nclass Load(enum.Flag):\n    X = 1; Y = 2\nLoad.X.old = 1\n"
        "m = Mat.ALU",
        "Mat Load",
        "Mat.STEEL.uses += 1; Mat.ALU.log.append(2); Load.X.note = 'used'; del Load.X.old; "
        "both = ~Load.X",
        "(Mat.STEEL.uses, Mat.ALU.uses, m.log) == (1, 0, [2]) and Load.X.note == 'used' and "
        "not hasattr(Load.X, 'old') and both is Load.Y and m is Mat.ALU",
    ),
    "aliases of an enumeration and combined flags": (
        "import enum\nclass Mat(enum.Enum):\n    STEEL = 1; IRON = 1; ALU = 2\n"
        "class Load(enum.Flag, boundary=enum.CONFORM):\n    NONE = 0; X = 1; Y = 2; XY = 3",
        "Mat Load",
        "seen = Mat.IRON is Mat.STEEL, Load.XY is Load.X | Load.Y, Load(9) is Load.X; "
        "kept = [Mat.IRON, Load.XY, Load.NONE]",
        "seen == (True, True, True) and kept == [Mat.STEEL, Load.X | Load.Y, Load(0)] and "
        "list(Mat.__members__) == ['STEEL', 'IRON', 'ALU']",
    ),
    "a proxy of a dict": (
        "import types\nd = {'k': 1}; p = types.MappingProxyType(d)",
        "d p",
        "d['j'] = 2; seen = dict(p)",
        "seen == {'k': 1, 'j': 2} == dict(p)",
    ),
    "views of dicts": (
        "from collections import OrderedDict\nd = {'a': 1}; k, v, i = d.keys(), d.values(), "
        "d.items(); o = OrderedDict(a=1, b=2); oi = o.items()",
        "d k v i o oi",
        "d['b'] = 2; o.move_to_end('a'); seen = list(k), list(v), list(i), list(oi)",
        "seen == (['a', 'b'], [1, 2], [('a', 1), ('b', 2)], [('b', 2), ('a', 1)]) and list(k) == "
        "['a', 'b'] and list(oi) == seen[3]",
    ),
    "a view of an array of objects": (
        "o = np.array([[1], None, 'x'], dtype=object); v = o[1:]; back = o[::-1]",
        "o v back",
        "v[1] = 'new'; o[0].append(2); seen = o[2], back[0], back[2]",
        "seen == ('new', 'new', [1, 2]) and v[1] == o[2] == back[0] == 'new' and v.base is o",
    ),
    "an array that was broadcast": (
        "b = np.broadcast_to(np.arange(3.0), (1_000, 100, 3)); c = [b]",
        "b c",
        "seen = b.strides, b.flags.writeable, b[5, 5, 2], c[0] is b; d = b[:2]",
        "seen == ((0, 0, 8), False, 2.0, True) and d.strides == (0, 0, 8) and d[1, 9, 1] == 1",
    ),
    "objects with traits, observed and linked": (
        "import traitlets\nclass M(traitlets.HasTraits):\n    a = traitlets.Int(1)\n"
        "    @traitlets.observe('a')\n    def _own(self, change): own.append(change['new'])\n"
        "own, seen = [], []; m, n = M(), M(); m.more = [1]; traitlets.link((m, 'a'), (n, 'a'))\n"
        "m.observe(lambda change: seen.append(change['new']), 'a')",
        "m n own seen M",
        "m.a = 5; there = n.a, [*own], [*seen]; m.more.append(2); k = M(a=3); n.a = 4",
        "there == (5, [5, 5], [5]) and (m.a, m.more, k.a) == (4, [1, 2], 3) and own == [5, 5, 3, "
        "4, 4] and seen == [5, 4] and not m.set_trait('a', 6) and n.a == 6 and seen[-1] == 6",
    ),
    "a strided window of the other byte order": (
        "a = np.arange(6, dtype='>i2'); w = a[::2]; alone = np.arange(6, dtype='>f4')[::-1]",
        "a w alone",
        "w += 100; alone[0] = 9; seen = a[2], str(w.dtype); b = a[1::2]",
        "seen == (102, '>i2') and a.tolist() == [100, 1, 102, 3, 104, 5] and w.tolist() == "
        "[100, 102, 104] and b.tolist() == [1, 3, 5] and {str(one.dtype) for one in (a, w, b)} == "
        "{'>i2'} and str(alone.dtype) == '>f4' and alone.tolist() == [9, 4, 3, 2, 1, 0]",
    ),
    "an array that overlaps itself": (
        "w = np.lib.stride_tricks.as_strided(np.arange(5.0), (3, 3), (8, 8))",
        "w",
        "w[0, 1] = 7; seen = w[1, 0]",
        "seen == 7 and w.tolist() == [[0, 7, 2], [7, 2, 3], [2, 3, 4]] and w.strides == (8, 8)",
    ),
    "objects whose own pickle fails": (
        "import struct, random\ntry: {}['k']\nexcept KeyError as e: t = e.__traceback__\n"
        "s = struct.Struct('<d'); r = random.SystemRandom()",
        "t s r",
        "seen = t.tb_lineno, s.size, 0 <= r.random() < 1; u = t",
        "seen == (2, 8, True) and u is t",
    ),
    "registered with an abstract class of Python's": (
        "import numbers\nclass N: pass\nnumbers.Number.register(N); n = N()",
        "n numbers",
        "seen = isinstance(n, numbers.Number), isinstance(n, numbers.Real)",
        "seen == (True, False)",
    ),
    "objects that share their attributes, and one that is its own": (
        "class Borg:\n    _s = {}\n    def __init__(s): s.__dict__ = Borg._s\nclass Box(dict):\n"
        "    def __init__(s, **k): super().__init__(**k); s.__dict__ = s\n"
        "a, b, box = Borg(), Borg(), Box(x=1); a.x = 1",
        "a b box Borg",
        "b.x = 5; c = Borg(); c.y = 7; box.z = 2; box['w'] = 3; seen = a.x, box['z'], box.w",
        "seen == (5, 2, 3) == (c.x, box['z'], box.w) and a.y == 7 and vars(a) is vars(c) is "
        "Borg._s and vars(box) is box",
    ),
    "weak references in a tree": (
        "import weakref\nclass Node:\n    def __init__(s, up=None): s.up = up and "
        "weakref.ref(up); s.below = []\nroot = Node(); one = Node(root); root.below = [one]",
        "root one Node weakref",
        "new = Node(one); one.below.append(new); seen = one.up() is root, new.up() is one",
        "seen == (True, True) and one.up() is root and new.up() is one is root.below[0]",
    ),
    "a weak reference alone, a dead one, one to a method": (
        "import weakref\nclass K:\n    def go(s): return s\nk = K(); r = weakref.ref(k); "
        "dead = weakref.ref(K()); w = weakref.WeakMethod(k.go)",
        "k r dead w",
        "seen = r() is k, dead(), w()() is k",
        "seen == (True, None, True) and r() is k and w()() is k",
    ),
    "a counter of a class": (
        "import itertools\nclass N:\n    ids = itertools.count(10, 2)\n    def __init__(s): "
        "s.id = next(N.ids)\na = N(); ids = N.ids",
        "N a",
        "b = N(); c = N()",
        "(a.id, b.id, c.id, N().id) == (10, 12, 14, 16) and N.ids is ids",
    ),
    "a context of decimal numbers": (
        "import decimal\nc = decimal.Context(prec=5); held = [c]",
        "c",
        "c.prec = 7; x = c.create_decimal('1.23456789')",
        "held[0] is c and c.prec == 7 and c.flags[decimal.Inexact] and str(x) == '1.234568'",
    ),
}


@pytest.mark.parametrize(("before", "reads", "cell", "after"), ROWS.values(), ids=ROWS)
def test_it_is_as_it_would_be_here(before: str, reads: str, cell: str, after: str) -> None:
    """What the cell sees, and what holds afterwards."""
    comes_home(before, reads, cell, f"bool({after})")


def test_a_traceback_is_formatted_alike() -> None:
    """A trail keeps files, lines, columns and names: the text of the traceback is the same."""
    shown = None
    try:
        json.loads("{" + "nonsense")
    except ValueError as error:
        shown = error.__traceback__
    assert shown is not None
    trail = tracebacks.of(shown)
    assert traceback.format_tb(tracebacks.traceback(trail)) == traceback.format_tb(shown)
    moved = tracebacks.traceback(tracebacks.renamed(trail, lambda name: f"{name}.moved"))
    assert {each.filename[-6:] for each in traceback.extract_tb(moved)} == {".moved"}
