"""Objects whose class, the user's own, says itself how it pickles: they, and what they hold, stay
what they are.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .notebook import Notebook

GETSTATE = """
    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != 'cache'}
    def __setstate__(self, state): vars(self).update(state); self.cache = None
"""
ONLY_GETSTATE = """
    def __getstate__(self):
        return {name: value for name, value in vars(self).items() if name != 'cache'}
"""
REDUCE = """
    def __reduce__(self): return Mesh, (self.nodes, self.step)
"""
WITH_STATE = """
    def __reduce__(self): return object.__new__, (Mesh,), vars(self)
"""
SLOTS = """
    __slots__ = ('nodes', 'step', 'cache')
    def __getstate__(self): return None, {'nodes': self.nodes, 'step': self.step}
"""
IN_ITS_DICT = """
    def __getstate__(self): return self.__dict__
    def __setstate__(self, state): self.__dict__ = state
"""
MESH = """
import numpy as np
class Mesh:
    def __init__(self, nodes=None, step=0):
        self.nodes, self.step, self.cache = np.zeros(6) if nodes is None else nodes, step, None
{how}
class Solver:
    def __init__(self, mesh): self.mesh, self.x, self.step = mesh, mesh.nodes, 0
mesh = Mesh(); solver = Solver(mesh); nodes = mesh.nodes; meshes = [mesh]
"""
KINDS = {
    "getstate and setstate": GETSTATE,
    "getstate": ONLY_GETSTATE,
    "reduce": REDUCE,
    "reduce with a state": WITH_STATE,
    "slots": SLOTS,
    "its own dict": IN_ITS_DICT,
}


# the code, what it reads, and (the first node, the mesh's step, the solver's) afterwards
CHANGES = {
    "an array": ("mesh.nodes[0] = 5", "mesh", (5, 0, 0)),
    "an array and an attribute": (
        "solver.mesh.nodes[0] = 5; solver.mesh.step = 1",
        "solver",
        (5, 1, 0),
    ),
    "what holds it": ("solver.step = 1", "solver", (0, 0, 1)),
    "in a list": ("meshes[0].step = 1; meshes[0].nodes[0] = 5", "meshes", (5, 1, 0)),
}


@pytest.mark.parametrize("how", KINDS.values(), ids=KINDS)
@pytest.mark.parametrize(("change", "name", "after"), CHANGES.values(), ids=CHANGES)
@pytest.mark.cell("travels", "Objects of your classes")
def test_what_it_holds_stays_itself(
    how: str, change: str, name: str, after: tuple[int, int, int]
) -> None:
    """An array seen through a mesh, a solver and a name of its own is one array before and after,
    with the values it got.
    """
    notebook = Notebook()
    notebook.local(MESH.format(how=how))
    notebook.local("were = mesh, nodes")
    notebook.remote(change, name)
    notebook.local(
        "assert mesh is were[0] and nodes is were[1] and solver.mesh is mesh is meshes[0] and "
        "mesh.nodes is nodes is solver.x"
    )
    assert (notebook.ns["nodes"][0], notebook.ns["mesh"].step, notebook.ns["solver"].step) == after


COPIES = {
    "a state that is a copy": """
    def __getstate__(self): return {'nodes': self.nodes.copy(), 'step': self.step}
    def __setstate__(self, state): vars(self).update(state)
""",
    "a copy without setstate": """
    def __getstate__(self): return {'nodes': self.nodes.copy(), 'step': self.step}
""",
    "a list": """
    def __getstate__(self): return {'nodes': self.nodes.tolist(), 'step': self.step}
    def __setstate__(self, state): self.nodes = np.array(state['nodes']); self.step = state['step']
""",
    "a copy made of an argument": """
    def __new__(cls, nodes=None, step=0):
        self = object.__new__(cls)
        self.nodes = np.zeros(6) if nodes is None else np.array(nodes)
        return self
    def __reduce__(self): return Mesh, (self.nodes, self.step)
    def __init__(self, nodes=None, step=0): self.step = step
""",
    "deep copies": """
    def __getstate__(self): import copy; return copy.deepcopy(vars(self))
""",
}


@pytest.mark.parametrize("how", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize(
    "change", ["mesh.nodes[0] = 5", "mesh.nodes = mesh.nodes + 5", "solver.mesh.nodes[0] = 5"]
)
def test_what_it_copies_is_not_lost(how: str, change: str) -> None:
    """Where what was sent is only a copy of what it holds, a change still arrives."""
    notebook = Notebook()
    notebook.local(MESH.format(how=how))
    notebook.remote(change, "mesh", "solver")
    assert notebook.ns["mesh"].nodes[0] == 5 and notebook.ns["solver"].mesh is notebook.ns["mesh"]


def test_of_a_module_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a class of the notebook."""
    notebook = Notebook()
    (tmp_path / "mecapy_own_meshes.py").write_text(MESH.format(how=GETSTATE))
    monkeypatch.syspath_prepend(tmp_path)
    notebook.local("from mecapy_own_meshes import mesh, solver")
    notebook.remote("mesh.nodes[0] = 5; solver.step = 1", "mesh", "solver")
    solver = notebook.ns["solver"]
    assert solver.x is solver.mesh.nodes and solver.x[0] == 5 and solver.step == 1


LIVE = """
class Monitor:
    def __init__(self): self.n, self.seen, self.log = 0, [], __import__('threading').Lock()
    def __getstate__(self):
        state = vars(self).copy()
        del state['log']
        return state
monitor = Monitor(); log = monitor.log
"""


@pytest.mark.cell("travels", "State that `__getstate__` omits, unchanged here")
def test_what_stays_at_home_is_kept() -> None:
    """What `__getstate__` leaves out is there after the cell; it raises on the other side, where
    that is missing, and nothing is lost.
    """
    notebook = Notebook()
    notebook.local(LIVE)
    original = notebook.ns["monitor"]
    notebook.remote("monitor.n += 1; monitor.seen.append(2); monitor.new = 3", "monitor")
    assert notebook.ns["monitor"] is original and vars(original) == {
        "n": 1,
        "seen": [2],
        "new": 3,
        "log": notebook.ns["log"],
    }
    notebook.remote("del monitor.new", "monitor")
    assert vars(original) == {"n": 1, "seen": [2], "log": notebook.ns["log"]}


def test_read_only_it_stays_untouched() -> None:
    """A cell that only reads it runs none of its code at home, and sends nothing."""
    notebook = Notebook()
    notebook.local(MESH.format(how=GETSTATE))
    notebook.ns["mesh"].cache = cache = object()
    assert notebook.remote("total = mesh.nodes.sum()", "mesh", "solver") == ["total"]
    assert notebook.ns["mesh"].cache is cache


LEAVES_OUT = """
class Arguments:
    def __init__(self, a): self.a, self.n, self.log = a, 0, []
    def __reduce__(self): return type(self), (self.a,)
class Slotted:
    __slots__ = 'a', 'n', 'log'
    def __init__(self, a): self.a, self.n, self.log = a, 0, []
    def __reduce_ex__(self, protocol): return type(self), (self.a,)
class Failure(Exception):
    def __init__(self, a): super().__init__(f'no {a}'); self.a, self.n, self.log = a, 0, []
    def __reduce__(self): return type(self), (self.a,)
class Cached:
    def __init__(self, a): self.a, self.n, self.log = a, 0, []
    def __getstate__(self): return {'a': self.a}
class Number(__import__('decimal').Decimal):
    def __new__(cls, a):
        self = super().__new__(cls, a); self.a, self.n, self.log = a, 0, []
        return self
class Stamp(__import__('datetime').date):
    def __new__(cls, a):
        self = super().__new__(cls, *([a, 1, 1] if type(a) is int else [a]))
        self.a, self.n, self.log = a, 0, []
        return self
class Restored(Cached):
    def __setstate__(self, state): self.a, self.n, self.log = state['a'], -1, None
"""


@pytest.mark.parametrize(
    "kind", ["Arguments", "Slotted", "Failure", "Number", "Stamp", "Cached", "Restored"]
)
def test_data_that_its_own_pickle_leaves_out(kind: str) -> None:
    """A counter and a list are there as they are here, and come home changed; a new object has its
    own.
    """
    notebook = Notebook()
    notebook.local(f"{LEAVES_OUT}\no = {kind}(1); o.n = 3; o.log.append('x'); log, was = o.log, o")
    notebook.remote(
        f"seen = o.n, [*o.log]; o.n += 1; o.log.append('y'); new = {kind}(2); new.n = 7", "o", kind
    )
    o, new, log = (notebook.ns[name] for name in ("o", "new", "log"))
    assert notebook.ns["seen"] == (3, ["x"]) and o is notebook.ns["was"] and o.log is log
    assert (o.n, log, new.a, new.n, new.log) == (4, ["x", "y"], 2, 7, [])
