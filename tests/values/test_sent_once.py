"""What of the user's modules has not changed since the last cell is not sent again."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from mecapy_jupyter.capture import packing
from mecapy_jupyter.travel.environment import user_modules
from mecapy_jupyter.travel.pickling import known_blobs, payload

from .notebook import Notebook, importable

TABLE = "    {n}: 'a long entry, so that the modules are large',\n"
NAMES = ("rods", "plates", "shells")


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three modules with a text of 45 KB each, and a state of 300 KB."""
    place = tmp_path / "plant"
    place.mkdir()
    for name in NAMES:
        table = "".join(TABLE.format(n=n) for n in range(1000))
        text = f"{name.upper()} = {{\n{table}}}\nN = [0]\n"
        text += "words = {n: f'word {n}' for n in range(20_000)}\n"
        (place / f"{name}.py").write_text(f"{text}def top():\n    N[0] += 1\n    return N[0]\n")
    (place / "__init__.py").write_text(f"from plant import {', '.join(NAMES)}\n")
    importable(monkeypatch, tmp_path)
    return place


def new_bytes(packed: payload.Packed) -> int:
    """What a store that got all earlier submissions does not have."""
    unknown = [one for one in packed.buffers if known_blobs.digest_of(one) is None]
    return len(packed.stream) + sum(one.nbytes for one in unknown)


def test_unchanged_modules_are_not_sent_again(notebook: Notebook, package: Path) -> None:
    """The second time neither text nor state is new; later only what changed is. All arrives."""
    notebook.local("import plant")
    user_modules.after_cell()

    def sent() -> int:
        return new_bytes(packing.pack({"plant": notebook.ns["plant"]}, notebook.ns, (), ()))

    assert sent() > 1_000_000
    assert sent() < 20_000
    rods = package / "rods.py"
    rods.write_text(rods.read_text() + "def new():\n    return 5\n")
    importlib.reload(sys.modules["plant.rods"])
    user_modules.after_cell()
    assert 40_000 < sent() < 100_000
    notebook.local("plant.rods.N[0] = 7")
    assert sent() > 800_000
    assert sent() < 20_000
    notebook.remote("there = plant.rods.top(), plant.rods.new(), plant.shells.N", "plant")
    assert notebook.ns["there"] == (8, 5, [0])
    assert (
        notebook.ns["plant"].rods.N == [8]
        and notebook.ns["there"][2] is sys.modules["plant.shells"].N
    )


def test_a_state_that_cannot_travel_for_a_while(
    notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is left each time, also where it was sent before, and is sent again afterwards."""
    (tmp_path / "sometimes.py").write_text("value, n = [0], 0\n")
    importable(monkeypatch, tmp_path)
    notebook.local("import sometimes")
    for value, left, there in (
        ("[1]", [], [1]),
        ("[i for i in (1, 2)], (i for i in (1, 2))", ["sometimes.value"], [0]),
        ("iter([1]), (i for i in (1, 2))", ["sometimes.value"], [0]),
        ("[2]", [], [2]),
    ):
        notebook.local(f"sometimes.value, sometimes.n = ({value}), {left!r}")
        notebook.remote("there = sometimes.value, sometimes.n", "sometimes")
        assert list(notebook.packed.left) == left
        assert notebook.ns["there"] == (there, left)


def test_a_deep_state(notebook: Notebook, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a module holds may be as deep as a variable."""
    (tmp_path / "chains.py").write_text(
        "chain = None\ndef lengthen(n):\n    global chain\n    for _ in range(n):\n"
        "        chain = [chain]\n"
        "def length():\n    n, at = 0, chain\n    while at:\n        n, at = n + 1, at[0]\n"
        "    return n\n"
    )
    importable(monkeypatch, tmp_path)
    notebook.local("import chains; chains.lengthen(50_000)")
    notebook.remote("n = chains.length()", "chains")
    assert notebook.ns["n"] == notebook.ns["chains"].length() == 50_000
