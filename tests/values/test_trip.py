"""Values there and back between two processes: aliasing, changes in place, functions, classes,
views.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from pathlib import Path
from typing import Any

import pytest

from .notebook import Notebook


def test_an_alias_sees_a_change_in_place(notebook: Notebook) -> None:
    """After `b = a`, a remote `a.append(1)` is seen through both names, and through a container
    that holds it.
    """
    notebook.local("a = []; b = a; box = {'in': a}")
    assert notebook.remote("a.append(1)", "a") == ["a", "b"]
    assert (
        notebook.ns["a"] == [1]
        and notebook.ns["b"] is notebook.ns["a"]
        and notebook.ns["box"]["in"] is notebook.ns["a"]
    )


CHANGES = {
    "dict": ("x = {'a': 1}", "x['b'] = 2", {"a": 1, "b": 2}),
    "dict order": ("x = {'a': 1, 'b': 2}", "x['a'] = x.pop('a')", {"b": 2, "a": 1}),
    "set": ("x = {1, 2}", "x.add(3)", {1, 2, 3}),
    "bytearray": ("x = bytearray(b'abc')", "x[0] = 120", bytearray(b"xbc")),
    "deque": (
        "from collections import deque\nx = deque([1], maxlen=3)",
        "x.extend([2, 3, 4])",
        deque([2, 3, 4], maxlen=3),
    ),
    "defaultdict": (
        "from collections import defaultdict\nx = defaultdict(list)",
        "x['a'].append(1)",
        defaultdict(list, a=[1]),
    ),
    "Counter": (
        "from collections import Counter\nx = Counter('aab')",
        "x.update('b')",
        Counter(a=2, b=2),
    ),
    "OrderedDict": (
        "from collections import OrderedDict\nx = OrderedDict(a=1, b=2)",
        "x.move_to_end('a')",
        OrderedDict(b=2, a=1),
    ),
    "nested": ("x = {'a': [{'b': [1]}]}", "x['a'][0]['b'].append(2)", {"a": [{"b": [1, 2]}]}),
}


@pytest.mark.parametrize(("before", "change", "after"), CHANGES.values(), ids=CHANGES)
def test_a_container_changed_in_place_stays_itself(
    notebook: Notebook, before: str, change: str, after: Any
) -> None:
    """Every kind of container is changed, not replaced, and holds what the remote one held."""
    notebook.local(before)
    original = notebook.ns["x"]
    notebook.remote(change, "x")
    assert notebook.ns["x"] is original and original == after and list(original) == list(after)


@pytest.mark.parametrize("size", [10, 100_000])
def test_an_array_and_its_view_change_together(notebook: Notebook, size: int) -> None:
    """A view of an array sent along stays a window on it, on both sides."""
    notebook.local(f"a = np.zeros({size}); v = a[2:5]; other = a")
    notebook.remote("v[:] = 7; total = a.sum()", "a", "v")
    assert notebook.ns["total"] == 21 and notebook.ns["other"][2:5].tolist() == [7, 7, 7]
    assert notebook.ns["v"].base is notebook.ns["a"]


def test_a_view_made_on_the_other_side_is_a_window_at_home(notebook: Notebook) -> None:
    """`view = a[1:, ::2]` in a cell: writing to it at home writes to `a`, also when a is itself a
    reshaped array.
    """
    notebook.local("a = np.arange(15).reshape(3, 5)")
    notebook.remote(
        "view = a[1:, ::2]; row = view[0]; fresh = np.arange(6).reshape(2, 3); top = fresh[0]", "a"
    )
    notebook.local("view[:] = -1; top[:] = 9")
    assert notebook.ns["a"].tolist()[1] == [-1, 6, -1, 8, -1] and notebook.ns["row"].tolist() == [
        -1,
        -1,
        -1,
    ]
    assert notebook.ns["fresh"].tolist() == [[9, 9, 9], [3, 4, 5]]
    notebook.remote("same = np.shares_memory(view, a)", "a", "view")
    assert notebook.ns["same"]


def test_a_single_changed_element_is_noticed(notebook: Notebook) -> None:
    """One element of a large array, changed through `out=` of a strided view."""
    notebook.local("a = np.ones((400, 400)); alias = a")
    notebook.remote("np.multiply(a[::3, 1:2], 5, out=a[::3, 1:2])", "a")
    assert notebook.ns["alias"][0, 1] == 5 and notebook.ns["alias"].sum() == 160_000 + 4 * 134


def test_unchanged_inputs_do_not_come_back(notebook: Notebook) -> None:
    """A result that holds an input brings a number, not the bytes,
    and arrives as the same object.
    """
    notebook.local("a = np.arange(1_000_000.)")
    notebook.remote("y = {'data': a, 'sum': float(a.sum())}", "a")
    assert notebook.ns["y"]["data"] is notebook.ns["a"] and notebook.back_bytes < 2000


def test_a_reshaped_array_is_replaced_under_every_name(notebook: Notebook) -> None:
    """What cannot be done in place is done by name: both names mean the new array."""
    notebook.local("a = np.arange(4.); b = a")
    # NumPy 2.5 (for Python 3.12 and newer) deprecates it.
    notebook.remote(
        "import warnings\nwith warnings.catch_warnings(action='ignore'): a.shape = (2, 2)", "a"
    )
    assert notebook.ns["a"].shape == (2, 2) and notebook.ns["b"] is notebook.ns["a"]


def test_a_notebook_class_comes_back_as_itself(notebook: Notebook) -> None:
    """isinstance holds for objects made remotely, attributes set remotely arrive on the original
    object and class.
    """
    notebook.local("""
        class Beam:
            count = 0
            def __init__(self, n): self.n = n; Beam.count += 1
            def double(self): return Beam(2 * self.n)
        beam = Beam(3)
    """)
    original = notebook.ns["beam"]
    notebook.remote("big = beam.double(); beam.n = 4", "beam", "Beam")
    assert isinstance(notebook.ns["big"], notebook.ns["Beam"]) and notebook.ns["big"].n == 6
    assert notebook.ns["beam"] is original and original.n == 4 and notebook.ns["Beam"].count == 2


def test_functions_share_the_namespace_of_the_cell(notebook: Notebook) -> None:
    """A notebook's function sees a global the cell binds, and a global it writes comes home; a
    remote function reads home's globals.
    """
    notebook.local("""
        k = 1; calls = 0
        def f():
            global calls
            calls += 1
            return k
    """)
    notebook.remote("k = 5; y = f()\ndef g(): return k + 1", "f", "k")
    assert (notebook.ns["y"], notebook.ns["calls"], notebook.ns["k"]) == (5, 1, 5)
    notebook.local("k = 10; z = g(), f()")
    assert notebook.ns["z"] == (11, 10)


def test_functions_bring_what_they_read(notebook: Notebook) -> None:
    """Globals of functions of functions travel, without being named in the cell."""
    notebook.local("""
        import math
        scale = 3
        def inner(x): return math.floor(x) * scale
        def outer(x): return inner(x) + 1
        table = {'f': outer}
    """)
    notebook.remote("y = table['f'](2.5)", "table")
    assert notebook.ns["y"] == 7


def test_recursion_and_closures(notebook: Notebook) -> None:
    """Recursive functions, closures over changed state, decorated and lambda functions run as at
    home.
    """
    notebook.local("""
        def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
        def counter():
            n = [0]
            def step(): n[0] += 1; return n[0]
            return step
        step = counter(); step()
        twice = lambda f: lambda x: f(f(x))
    """)
    notebook.remote("y = fib(10), step(), twice(fib)(6)", "fib", "step", "twice")
    assert notebook.ns["y"] == (55, 2, 21)
    assert notebook.ns["step"]() == 3, "the state in the closure came home"


def test_deleted_names_are_reported(notebook: Notebook) -> None:
    """`del x` in the cell removes x at home."""
    notebook.local("x = 1; keep = 2")
    notebook.remote("del x", "x", "keep")
    assert "x" not in notebook.ns and notebook.ns["keep"] == 2


def test_modules_of_the_user_travel(
    notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A module of the user's own folder works on the other side, with the state it has by now, a
    lock at its top level included.
    """
    (tmp_path / "own_part.py").write_text("SCALE = 10\ndef scaled(x): return x * SCALE\n")
    own = (
        "import threading\nfrom own_part import scaled\nLOCK = threading.Lock()\nclass Part:\n  "
        "  w = 2\n"
    )
    (tmp_path / "own_module.py").write_text(own)
    monkeypatch.syspath_prepend(tmp_path)
    notebook.local(
        "import own_module, own_part; own_part.SCALE = 100; part = own_module.Part(); f = "
        "own_module.scaled"
    )
    notebook.remote(
        "y = own_module.scaled(2), f(3), part.w; made = own_module.Part()",
        "own_module",
        "part",
        "f",
    )
    assert notebook.ns["y"] == (200, 300, 2)
    assert isinstance(notebook.ns["made"], notebook.ns["own_module"].Part)


def test_what_two_own_modules_share_stays_shared(
    notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A dict that one own module imported from another is one dict on the other side, too, with
    what it holds by now.
    """
    (tmp_path / "own_settings.py").write_text("CHOSEN = {'n': 1}\n")
    (tmp_path / "own_reader.py").write_text(
        "from own_settings import CHOSEN\ndef chosen(): return CHOSEN['n']\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    notebook.local("import own_settings, own_reader; own_settings.CHOSEN['n'] = 2")
    notebook.remote(
        "seen = own_reader.chosen(); own_settings.CHOSEN['n'] = 3; then = own_reader.chosen()",
        "own_settings",
        "own_reader",
    )
    assert (notebook.ns["seen"], notebook.ns["then"]) == (2, 3)


def test_the_process_keeps_its_own_paths(
    notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An own module that holds sys.path under a name of its own does not bring this machine's list
    to the other side.
    """
    (tmp_path / "own_paths.py").write_text("import sys\nPATHS = sys.path\n")
    monkeypatch.syspath_prepend(tmp_path)
    notebook.local("import own_paths")
    notebook.remote(
        "import sys; theirs = own_paths.PATHS is sys.path; paths = list(sys.path)", "own_paths"
    )
    assert notebook.ns["theirs"] and notebook.ns["paths"].count(str(tmp_path)) == 1
