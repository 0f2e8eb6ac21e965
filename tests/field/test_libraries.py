"""Libraries that the suite does not install: the same here and on the pool, or refused by name."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from .cells import Compared, needs

SAME = {
    "networkx.config": (
        ("networkx",),
        """
        #L
        import networkx as nx
        from networkx import config
        config.cache_converted_graphs = False
        #H
        print(config.cache_converted_graphs, config is nx.config)
        config.cache_converted_graphs = True
        #L
        print(nx.config.cache_converted_graphs, config is nx.config)
        """,
        "False True\nTrue True\n",
    ),
    "sympy and mpmath in containers": (
        ("sympy", "mpmath"),
        """
        #L
        from sympy import QQ
        import sympy, mpmath
        from mpmath import mp
        mp.dps = 30
        box = {"field": QQ, "context": mp}
        #H
        print(box["field"] is sympy.QQ, box["context"] is mp is mpmath.mp, mp.dps)
        root = mp.sqrt(3)
        #L
        print(isinstance(root, mpmath.mpf), box["field"] is QQ, mp is mpmath.mp)
        """,
        "True True 30\nTrue True True\n",
    ),
    "cantera's states of a gas that the cell changed": (
        ("cantera",),
        """
        #L
        import cantera as ct
        gas = ct.Solution("h2o2.yaml")
        #H
        states = ct.SolutionArray(gas, 3)
        states.TP = [300, 400, 500], ct.one_atm
        #L
        print(states.T, gas.T)
        """,
        "[300. 400. 500.] 500.0\n",
    ),
}


@pytest.mark.field
@pytest.mark.parametrize(
    ("cells", "printed"),
    [
        pytest.param(cells, printed, id=kind, marks=needs(*packages))
        for kind, (packages, cells, printed) in SAME.items()
    ],
)
def test_a_library_s_objects_are_the_same(
    compared: Callable[[str], Compared], cells: str, printed: str
) -> None:
    """What it prints here it prints there, with the same objects and nothing said."""
    found = compared(cells)
    assert found.out == printed
    assert (found.differences, found.said) == ([], [])


@pytest.mark.cell("refused", "FiPy variables with constraints or dependencies")
@pytest.mark.field
@needs("fipy")
def test_a_fipy_variable_with_constraints_is_refused(compared: Callable[[str], Compared]) -> None:
    """Its pickle leaves them out, and the solution would be 0; without any, it travels."""
    found = compared(
        """
        #L
        from fipy import CellVariable, Grid1D
        mesh = Grid1D(nx=5, dx=1.0)
        free = CellVariable(name="free", mesh=mesh, value=2.0)
        phi = CellVariable(name="phi", mesh=mesh, value=0.0)
        phi.constrain(1, mesh.facesLeft)
        #H
        print(free.value.sum())
        #H
        print(phi.value)
        """
    )
    assert found.there[0].ok
    assert found.there[1].stdout == "10.0\n"
    assert found.there[2].error == "CannotSend"
    assert "variable 'phi' cannot travel" in found.there[2].text
    assert "make mesh, variables and equation in one cell" in found.there[2].text
