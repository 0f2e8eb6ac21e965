"""The user's own modules in a process that has their sources and not their files."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from dataclasses import asdict
from pathlib import Path

import pytest

from mecapy_jupyter.travel.environment import source_files, user_modules

from .conftest import Write
from .test_modules import PACKAGE, put


def elsewhere(sources: list[source_files.ModuleSource], code: str, cwd: Path) -> str:
    """What `code` prints in a process that has the sources and not the files."""
    before = "import json, sys\n"
    before += "from mecapy_jupyter.travel.environment import module_importer as modules\n"
    before += (
        "modules.install([modules.ModuleSource(**source) for source in json.load(sys.stdin)])\n"
    )
    fed = json.dumps([asdict(source) for source in sources])
    ran = subprocess.run(
        [sys.executable, "-c", before + textwrap.dedent(code)],
        input=fed,
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


@pytest.fixture
def away(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("away")


def test_sources_import_elsewhere(write: Write, away: Path) -> None:
    """A package imports, from memory, in a process that has none of its files."""
    put(write, PACKAGE)
    assert (
        elsewhere(
            user_modules.collect(["mech.beams"]),
            "import mech.beams; print(mech.beams.stress(20), mech.__path__ != [])",
            away,
        )
        == "2.0 True"
    )


def test_locks_and_threads_at_module_level_work(write: Write, away: Path) -> None:
    """What a pickle could not carry is made anew by importing the source."""
    put(
        write,
        {
            "guarded": "import threading\nLOCK = threading.Lock()\nT = "
            "threading.Thread(target=print, args=('ran',)); T.start(); T.join()"
        },
    )
    assert (
        elsewhere(
            user_modules.collect(["guarded"]),
            "import guarded\nwith guarded.LOCK: print('locked')",
            away,
        )
        == "ran\nlocked"
    )


def test_pickles_by_reference_open_elsewhere(write: Write, away: Path) -> None:
    """An instance of an own class is opened where only the source is."""
    put(write, {"shapes": "class Disc:\n    def __init__(self, r): self.r = r"})
    code = "import pickle; print(type(pickle.loads(b'cshapes\\nDisc\\n(I4\\ntR.')).__module__)"
    assert elsewhere(user_modules.collect(["shapes"]), code, away) == "shapes"


def test_tracebacks_show_the_lines(write: Write, away: Path) -> None:
    """An error in an own module shows its own line there, though the file is not there."""
    put(write, {"failing": "def f():\n    return 1 / 0  # the line\n"})
    sources = user_modules.collect(["failing"])
    moved = [
        source_files.ModuleSource(s.name, s.is_package, s.source, "/home/nobody/failing.py")
        for s in sources
    ]
    code = (
        "import failing, traceback\ntry: failing.f()\nexcept ZeroDivisionError: "
        "print(traceback.format_exc())"
    )
    said = elsewhere(moved, code, away)
    assert "/home/nobody/failing.py" in said and "# the line" in said


def test_own_modules_go_before_the_workers(write: Write, away: Path) -> None:
    """A module of the user's is found before an installed or loaded one of the same name."""
    sources = [source_files.ModuleSource("calendar", False, "MINE = True", "calendar.py")]
    assert elsewhere(sources, "import calendar; print(calendar.MINE)", away) == "True"
