"""One object of a result that cannot be opened here costs the variables that
hold it, and no other.
"""

from __future__ import annotations

import sys
import types
from collections import OrderedDict
from typing import Any

import numpy
import pytest

from mecapy_jupyter import wire
from mecapy_jupyter.results import bind
from mecapy_jupyter.travel.changes.changes import Changes
from mecapy_jupyter.travel.pickling import payload

FAR = """
class Only:
    "Of a package that is installed on the worker alone."
    def __init__(self, x): self.x = x
class Picky(Only):
    "Opened here by a version that refuses its state."
    def __setstate__(self, state): raise ValueError("an old state")
class Refuses(Only):
    def __reduce__(self): return make, (1,)
def make(x): raise TypeError("takes no arguments")
def far_function(): return 1
"""


@pytest.fixture
def far(monkeypatch: pytest.MonkeyPatch) -> Any:
    module = types.ModuleType("far_package")
    exec(FAR, module.__dict__)  # a package, as far as this test goes
    monkeypatch.setitem(sys.modules, "far_package", module)
    return module


def home_of(
    bound: dict[str, Any], *, without: str = "", known: dict[int, object] | None = None, **more: Any
) -> bind.Home:
    """Pack a result, then open it where the module `without` is not installed."""
    home: dict[str, Any] = {
        "bound": bound,
        "deleted": (),
        "left": {},
        "changed": [],
        "ambient": {},
        "files": {},
        **more,
    }
    numbers = {id(obj): number for number, obj in (known or {}).items()}
    packed, _ = payload.pack_result(home, {}, numbers, list(bound.values()))
    blobs = {str(number): bytearray(buffer) for number, buffer in enumerate(packed.buffers)}
    sys.modules.pop(without, None)
    outcome = wire.Outcome(wire.COMPLETED, payload=wire.Payload(packed.stream, "", tuple(blobs)))
    return bind.open_outcome(outcome, blobs.__getitem__, {}, known or {})


def test_a_package_that_is_not_here(far: Any) -> None:
    """What it made is lost, with its name and what to do; all else comes, large arrays and what
    they share, too.
    """
    big, shared = numpy.arange(100_000.0), [1, 2]
    held = {"deep": [far.Only(1)], "shared": shared}
    bound = {
        "bad": far.Only(2),
        "big": big,
        "view": big[10:20],
        "held": held,
        "shared": shared,
        "twice": [shared, shared],
        "after": 7,
    }
    home = home_of(
        bound | {"function": far.far_function, "kind": far.Only},
        without="far_package",
        value=far.Only(3),
    )
    assert set(home.bound) == {"big", "view", "shared", "twice", "after"}
    assert (
        set(home.left) == {"bad", "held", "function", "kind", "the last value"}
        and home.value is None
    )
    assert "far_package" in home.left["bad"] and "install it here too" in home.left["held"]
    assert home.bound["after"] == 7 and home.bound["big"].sum() == big.sum()
    assert home.bound["shared"] is home.bound["twice"][0] is home.bound["twice"][1]
    home.bound["big"][10] = -1
    assert home.bound["view"][0] == -1


@pytest.mark.parametrize("kind", ["Picky", "Refuses"])
def test_an_object_that_refuses(far: Any, kind: str) -> None:
    """An error of its own while it is opened: the same."""
    home = home_of(
        {
            "first": 1,
            "bad": getattr(far, kind)(2),
            "list": [getattr(far, kind)(3)],
            "last": OrderedDict(a=1),
        }
    )
    assert home.bound == {"first": 1, "last": OrderedDict(a=1)} and set(home.left) == {
        "bad",
        "list",
    }


def test_inputs_stay_the_objects_they_are(far: Any) -> None:
    """What was sent comes home as itself; an input that came to hold something lost keeps what it
    had.
    """
    mine: list[Any] = [1]
    changed = Changes("list")
    changed.add(3, [1, far.Only(1)])
    home = home_of(
        {"same": mine, "box": {"mine": mine}, "bad": far.Only(1)},
        without="far_package",
        known={3: mine},
        changed=[changed],
    )
    assert home.bound["same"] is mine is home.bound["box"]["mine"] and mine == [1]
    assert set(home.left) == {"bad", "the change of an input"}


def test_classes_and_functions_of_the_cell(far: Any) -> None:
    """A class of the notebook that derives from a lost one is lost with its objects; other
    functions come.
    """
    space: dict[str, Any] = {"__name__": "__main__", "far": far}
    exec("class Mine(far.Only): pass\nclass Fine: pass\ndef double(x): return 2 * x", space)
    bound = {
        "Mine": space["Mine"],
        "one": space["Mine"](1),
        "Fine": space["Fine"],
        "double": space["double"],
        "n": 1,
    }
    home = home_of(bound, without="far_package")
    assert set(home.left) == {"Mine", "one"}, home.left
    assert home.bound["double"](4) == 8 and home.bound["Fine"]() and home.bound["n"] == 1


def test_an_exception_that_cannot_be_opened(far: Any) -> None:
    """The variables come all the same."""
    error = ValueError("too far")
    error.args = (far.Only(1),)
    home = home_of({"x": 5}, without="far_package", exception={"error": error, "trail": None})
    assert home.bound == {"x": 5} and home.exception is None and home.left == {}
