"""The user's own modules: which are, what is collected of them, and how another process imports
them.
"""

from __future__ import annotations

import concurrent.futures
import copy
import importlib
import importlib.machinery
import json
import sys
import threading
import types
import zipfile
from pathlib import Path

import numpy
import pytest

import mecapy_jupyter
from mecapy_jupyter.shared.errors import CannotSend
from mecapy_jupyter.travel.environment import module_paths, module_state, user_modules

from ..values.notebook import importable
from .conftest import Write

PACKAGE = {
    "mech/__init__": "SCALE = 2\nfrom . import beams\n",
    "mech/beams": "from .section import area\nimport numpy\ndef stress(f): return f / area()\n",
    "mech/section": "from . import SCALE\nfrom helper_of_mech import K\ndef area(): return SCALE "
    "* K\n",
    "mech/unused": "raise RuntimeError('never imported')\n",
    "helper_of_mech": "K = 5\n",
}


def put(write: Write, files: dict[str, str]) -> None:
    write(**{name.replace("/", "__SLASH__"): text for name, text in files.items()})


@pytest.mark.parametrize(
    "module",
    [
        json,
        sys,
        numpy,
        threading,
        pytest,
        mecapy_jupyter,
        user_modules,
        types.ModuleType("made_up"),
    ],
)
def test_installed_modules_are_not_own(module: types.ModuleType) -> None:
    """Python's, installed packages', MecaPy's and invented modules are not the user's."""
    assert not user_modules.is_own(module)


def test_modules_of_the_notebooks_folder_are_own(write: Write) -> None:
    """A file beside the notebook, a package, and a folder without __init__ are."""
    put(write, {"own_helper": "", "own_package/__init__": "", "own_folder/inner": ""})
    for name in ("own_helper", "own_package", "own_folder", "own_folder.inner"):
        assert user_modules.is_own(importlib.import_module(name))


def test_a_module_of_an_environment_in_the_project_is_not_own(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies in a site-packages folder is installed, wherever that folder is."""
    put(write, {"env/lib/site-packages/third_party_here": ""})
    importable(monkeypatch, tmp_path / "env/lib/site-packages")
    assert not user_modules.is_own(importlib.import_module("third_party_here"))
    assert user_modules.collect(["third_party_here"]) == []


def test_collect_follows_imports_without_executing(write: Write) -> None:
    """Parents, relative imports and helpers come along; unneeded submodules do not; nothing was
    imported for it.
    """
    put(write, PACKAGE)
    found = user_modules.collect(
        ["mech.beams", "json", "numpy.linalg", "no_such_module", "mech.beams.stress"]
    )
    assert [source.name for source in found] == [
        "helper_of_mech",
        "mech",
        "mech.beams",
        "mech.section",
    ]
    assert [source.is_package for source in found] == [False, True, False, False]
    assert "mech" not in sys.modules


def test_collect_takes_loaded_submodules_along(write: Write) -> None:
    """A submodule that was imported in a way no source shows is needed too."""
    put(write, {"plugged/__init__": "", "plugged/extra": "X = 1"})
    importlib.import_module("plugged.extra")
    assert [source.name for source in user_modules.collect(["plugged"])] == [
        "plugged",
        "plugged.extra",
    ]


def test_cycles_end(write: Write) -> None:
    """Modules that import each other are each collected once."""
    put(write, {"ping": "import pong", "pong": "import ping"})
    assert [source.name for source in user_modules.collect(["ping"])] == ["ping", "pong"]


def test_a_module_in_a_zip_is_collected(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its source is read through its own loader."""
    with zipfile.ZipFile(tmp_path / "bundle.zip", "w") as bundle:
        bundle.writestr("zipped_helper.py", "V = 1")
    importable(monkeypatch, tmp_path / "bundle.zip")
    assert [source.source for source in user_modules.collect(["zipped_helper"])] == ["V = 1"]


@pytest.mark.cell("refused", "Compiled modules of yours")
def test_a_compiled_own_module_is_refused_by_name(write: Write, tmp_path: Path) -> None:
    """It cannot travel as source, and the sentence says what to do; where it is optional it is left
    out.
    """
    suffix = importlib.machinery.EXTENSION_SUFFIXES[0]
    (tmp_path / f"fast_part{suffix}").write_bytes(b"\x7fELF")
    put(
        write,
        {
            "needs": "import fast_part",
            "tries": "try:\n    import fast_part\nexcept ImportError:\n    fast_part = None",
        },
    )
    assert [source.name for source in user_modules.collect(["tries"])] == ["tries"]
    with pytest.raises(CannotSend, match=r"your own module 'fast_part'.*install it on the workers"):
        user_modules.collect(["tries", "needs"])


def test_state_is_the_data(write: Write) -> None:
    """Attributes that are data, without functions, classes, modules and bare sentinels."""
    put(
        write,
        {
            "stateful": "import os, threading\nX = 1\n_Y = {'a': 2}\nNONE = object()\nL = "
            "threading.Lock()\n"
            "def f(): pass\nclass C:\n    def __call__(self): pass\nc = C()\n"
        },
    )
    assert set(module_state.of(importlib.import_module("stateful"), user_modules.is_own)) == {
        "__doc__",
        "X",
        "_Y",
        "c",
    }


def test_restored_state_is_one(write: Write) -> None:
    """Functions that hold a module's dict by a default, an attribute or a closure see the restored
    one, which the module's name shows too.
    """
    text = """
CONFIG = {'n': 1}
N = 1
def get(c=CONFIG): return c
def count():
    count.calls.append(CONFIG)
count.calls = []
def closes(c):
    def held(): return c
    return held
held = closes(CONFIG)
"""
    put(write, {"settings_of_mine": text})
    module = importlib.import_module("settings_of_mine")
    module.CONFIG["n"], vars(module)["N"] = 2, 3
    module.count()
    state = copy.deepcopy(module_state.of(module, user_modules.is_own))
    importlib.reload(module)
    module_paths.restore(module, state)
    assert (module.get(), module.N) == ({"n": 2}, 3)
    assert module.get() is module.CONFIG is module.held() is module.count.calls[0]


def test_many_threads_collect_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Submitting from several threads parses own modules in several threads; none of them fails."""
    for number in range(40):
        (tmp_path / f"parsed_{number}.py").write_text(
            "import os\n" + "def f(a):\n    return [a ** 2 for a in (1, (2, 3))]\n" * 60
        )
    importable(monkeypatch, tmp_path)
    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        found = list(
            threads.map(user_modules.collect, [[f"parsed_{number}"] for number in range(40)])
        )
    assert [sources[0].name for sources in found] == [f"parsed_{number}" for number in range(40)]


def test_functions_that_autoreload_changed_travel_with_the_text_of_now(write: Write) -> None:
    """`%autoreload` gives a function new code and leaves the module's spec: the text sent before no
    longer fits, and the file's is sent; where that does not fit either, it is refused.
    """
    write(reloaded_law="def f(): return 1\n")
    module = importlib.import_module("reloaded_law")
    [sent] = user_modules.collect(["reloaded_law"])
    assert sent.source == "def f(): return 1\n"
    text = "def f(): return 20\n"
    made = compile(text, module.__spec__.origin, "exec", dont_inherit=True)  # type: ignore[union-attr]
    module.f.__code__ = next(one for one in made.co_consts if isinstance(one, types.CodeType))
    with pytest.raises(CannotSend, match=r"reloaded_law\.py changed since its import.*reload it"):
        user_modules.collect(["reloaded_law"])
    write(reloaded_law=text)
    [sent] = user_modules.collect(["reloaded_law"])
    assert sent.source == text


def test_code_that_a_decorator_generated_is_no_edit(write: Write) -> None:
    """Hypothesis' functions name this file and are not in it; what the file lacks is an edit."""
    text = "from hypothesis.stateful import initialize\nclass Steps:\n    @initialize()\n"
    write(generated_steps=f"{text}    def empty(self): pass\ndef law(): return 1\n")
    importlib.import_module("generated_steps")
    assert len(user_modules.collect(["generated_steps"])) == 1
    write(generated_later=f"{text}    def empty(self): pass\ndef law(): return 1\n")
    importlib.import_module("generated_later")
    write(generated_later=f"{text}    def empty(self): pass\n")
    with pytest.raises(CannotSend, match=r"'law' is different now"):
        user_modules.collect(["generated_later"])
