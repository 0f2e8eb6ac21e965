"""The notebook's folder is there for a cell, and what a cell writes in it is there afterwards."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from mecapy_jupyter.client.http import Gateway

from ..gate import Gate
from .conftest import Kernel
from .test_errors import strip


@pytest.mark.cell("travels", "The notebook's folder")
def test_files_that_are_looked_for_are_found(kernel: Kernel, project: Path) -> None:
    """glob, exists, listdir, iterdir and walk see what lies in the folder, with its times."""
    (project / "runs" / "old").mkdir(parents=True)
    for number in range(3):
        (project / "runs" / f"r{number}.csv").write_text(f"v\n{number}\n")
    (project / "empty").mkdir()
    os.utime(project / "runs" / "r1.csv", (1_700_000_000, 1_700_000_000))
    cell = """
import glob, os
from pathlib import Path
files = sorted(glob.glob("runs/*.csv"))
total = sum(int(Path(name).read_text().split()[1]) for name in files)
seen = (files, total, os.path.exists("runs/r0.csv"), sorted(os.listdir()),
        sorted(one.name for one in Path("runs").iterdir()), os.path.getmtime("runs/r1.csv"),
        sorted(map(str, Path().rglob("*"))), Path.cwd().name)
"""
    assert kernel.run(f"{cell}here = seen").ok
    ran = kernel.run(f"%%mecapy\n{cell}")
    assert ran.ok, ran.text
    assert kernel.value("seen == here or (seen, here)") == "True"
    assert kernel.value("seen[1], seen[5]") == "(3, 1700000000.0)"


@pytest.mark.cell("travels", "Files that a cell writes")
def test_what_a_cell_writes_is_there(kernel: Kernel, project: Path) -> None:
    """For the next cell, here and on the pool: new files, appended ones, empty folders."""
    (project / "log.txt").write_text("here\n")
    ran = kernel.run("""%%mecapy
import os
with open("log.txt", "a") as log: log.write("there\\n")
os.makedirs("out/empty")
with open("out/a.txt", "w") as out: out.write("A")
""")
    assert ran.ok, ran.text
    assert (project / "log.txt").read_text() == "here\nthere\n"
    assert (project / "out" / "a.txt").read_text() == "A" and (project / "out" / "empty").is_dir()
    (project / "log.txt").write_text("here\nthere\nagain\n")
    ran = kernel.run("%%mecapy\nread = open('log.txt').read(), open('out/a.txt').read()")
    assert kernel.value("read") == repr(("here\nthere\nagain\n", "A")), ran.stderr


def test_a_program_stays_a_program(kernel: Kernel, project: Path) -> None:
    """A file may be executed at home if it may be there: a new one, a changed one, and one of which
    the cell changes nothing else.
    """
    for name in ("was.sh", "becomes.sh"):
        (project / name).write_text("#!/bin/sh\necho here\n")
    (project / "was.sh").chmod(0o750)
    ran = kernel.run("""%%mecapy
import os
with open("new.sh", "w") as new: new.write("#!/bin/sh\\necho made\\n")
os.chmod("new.sh", 0o755)
os.chmod("becomes.sh", 0o755)
with open("was.sh", "a") as was: was.write("echo there\\n")
with open("plain.txt", "w") as plain: plain.write("")
""")
    assert ran.ok, ran.text
    modes = {one.name: bool(one.stat().st_mode & 0o100) for one in project.iterdir()}
    assert modes == {"new.sh": True, "becomes.sh": True, "was.sh": True, "plain.txt": False}
    assert (project / "was.sh").stat().st_mode & 0o777 == 0o750
    cell = "import subprocess; said = subprocess.run('./new.sh', capture_output=True).stdout"
    for where in ("", "%%mecapy\n"):
        assert kernel.run(f"{where}said = None\n{cell}").ok
        assert kernel.value("said") == repr(b"made\n")
    assert kernel.run("%%mecapy\nimport os; os.chmod('new.sh', 0o644)").ok
    assert not (project / "new.sh").stat().st_mode & 0o100


def test_the_next_cell_has_its_files_as_they_are_here(
    kernel: Kernel, project: Path, running_stack: Any
) -> None:
    """Files are written once for many cells of a worker (the stack may have started more), and
    nothing that one did to them reaches the next.
    """
    for number in range(30):
        (project / f"{number}.py").write_text("here")
    look = "import os\nseen = open('1.py').read(), os.path.exists('.left'), os.stat('7.py').st_ino"
    spoil = """
times = os.stat("1.py")
with open("1.py", "w") as file: file.write("gone")
os.utime("1.py", ns=(times.st_atime_ns, times.st_mtime_ns))
os.remove("2.py")
with open(".left", "w") as file: file.write("left")
"""
    inodes: list[int] = []
    for cell in (look, look + spoil, look):
        assert kernel.run(f"%%mecapy --name once\n{cell}").ok
        assert kernel.value("seen[:2]") == "('here', False)"
        inodes.append(int(kernel.value("seen[2]")))
    tasks: Any = Gateway(running_stack.url, running_stack.token).get("/tasks", name="once")
    assert len(inodes) == len(tasks["tasks"]) == 3
    places = {task["worker"] for task in tasks["tasks"]}
    assert len(set(inodes)) <= len(places), (inodes, places)


@pytest.mark.cell("said", "A file that also changed here")
def test_a_file_that_changed_here_stays(kernel: Kernel, project: Path, gate: Gate) -> None:
    """The pool's stands beside it and is named; a file that is new here, too."""
    (project / "both.txt").write_text("sent")
    ran = kernel.run(f"""%%mecapy --bg --as job
from pathlib import Path
Path("both.txt").write_text("there")
Path("new.txt").write_text("there")
{gate.wait}""")
    assert ran.ok, ran.text
    (project / "both.txt").write_text("here")
    (project / "new.txt").write_text("mine")
    gate.open()
    ran = kernel.run("job.result(240)")
    assert ran.ok, ran.text
    assert (project / "both.txt").read_text() == "here"
    assert (project / "new.txt").read_text() == "mine"
    beside = {
        path.name.partition(".pool-")[0]: path.read_text() for path in project.glob("*pool-*")
    }
    assert beside == {"both": "there", "new": "there"}


def test_a_search_for_packages_is_no_listing(kernel: Kernel, project: Path) -> None:
    """tqdm asks for the version of ipywidgets, and the search lists each folder of the path: the
    cell misses nothing of it.
    """
    (project / "store.msh").write_text("1")
    (project / "mesh.msh").symlink_to(project / "store.msh")
    ran = kernel.run("%%mecapy --quiet\nfrom tqdm.notebook import tqdm\nfor n in tqdm([1]): pass")
    assert ran.ok and "did not travel" not in ran.stderr, ran


@pytest.mark.cell("said", "Files that did not come home")
def test_what_does_not_come_home_by_itself(kernel: Kernel, project: Path) -> None:
    """Code, notebooks and what is hidden come by `--keep`, deletions, too; it is said."""
    (project / "gone.txt").write_text("1")
    cell = """
import os
for name in ("tool.py", "made.ipynb", ".hidden", "plain.txt"):
    with open(name, "w") as out: out.write("made")
os.remove("gone.txt")
if not os.path.lexists("latest"): os.symlink("plain.txt", "latest")
"""
    ran = kernel.run(f"%%mecapy\n{cell}")
    assert ran.ok, ran.text
    assert sorted(path.name for path in project.iterdir()) == ["gone.txt", "plain.txt"]
    assert "tool.py" in ran.stderr and ".hidden" in ran.stderr, ran.stderr
    assert "the link latest, which did not come home; `os.symlink('plain.txt', 'latest')`" in (
        ran.stderr
    )
    assert "the cell deleted gone.txt, which stays here; `--keep gone.txt`" in ran.stderr
    ran = kernel.run(f"%%mecapy --keep tool.py,made.ipynb,.hidden,gone.txt\n{cell}")
    assert ran.ok, ran.text
    here = sorted(path.name for path in project.iterdir())
    assert here == [".hidden", "made.ipynb", "plain.txt", "tool.py"]


def test_modules_and_scripts_read_beside_themselves(kernel: Kernel, project: Path) -> None:
    """`%run`, `Path(__file__)`, importlib.resources, pkgutil and np.load find what lies there."""
    (project / "lib").mkdir()
    (project / "lib" / "__init__.py").write_text(
        "from pathlib import Path\nTABLE = (Path(__file__).parent / 'table.csv').read_text()\n"
    )
    (project / "lib" / "table.csv").write_text("7")
    (project / "script.py").write_text("result = 6 * 7\nprint('script', __name__)\n")
    assert kernel.run("import numpy; numpy.save('cache.npy', numpy.ones(3))").ok
    assert kernel.run("import sys; sys.path.insert(0, '')\nimport lib").ok
    ran = kernel.run("""%%mecapy
import importlib.resources, pkgutil, numpy
import lib
%run script.py
read = (lib.TABLE, importlib.resources.files("lib").joinpath("table.csv").read_text(),
        pkgutil.get_data("lib", "table.csv"), numpy.load("cache.npy").sum(), result)
""")
    assert ran.ok, ran.text
    assert "script __main__" in ran.stdout and not ran.pictures
    assert kernel.value("read") == "('7', '7', b'7', np.float64(3.0), 42)"


def test_a_cell_that_changes_its_folder(kernel: Kernel, project: Path) -> None:
    """`os.chdir` and `%cd` hold afterwards, and the next cell begins there."""
    (project / "sub").mkdir()
    (project / "sub" / "in.txt").write_text("in")
    ran = kernel.run("%%mecapy\nimport os\nos.chdir('sub')")
    assert ran.ok and kernel.value("__import__('os').getcwd()") == repr(str(project / "sub"))
    ran = kernel.run("%%mecapy\nread = open('in.txt').read()\n%cd -q ..")
    assert ran.ok, ran.text
    assert kernel.value("(read, __import__('os').getcwd())") == repr(("in", str(project)))


def test_how_much_goes_is_said_once(kernel: Kernel, project: Path) -> None:
    """In the first cell of a folder; `--dry-run` lists it and sends nothing."""
    (project / "a.txt").write_text("abc")
    (project / "my_token.txt").write_text("hush")
    plan = kernel.run("%%mecapy --dry-run\nx = 1")
    assert (
        "files: a.txt (3 B)" in plan.stdout and "(may hold a secret): my_token.txt" in plan.stdout
    )
    first = "1 file (3 B) of the notebook's folder project go along with its cells"
    assert first in plan.stderr
    ran = kernel.run("%%mecapy\nx = 1")
    assert ran.ok and "of the notebook's folder" not in ran.stderr


def test_unchanged_files_are_sent_once(kernel: Kernel, project: Path) -> None:
    """What the store has does not travel again, and a change costs what has changed."""
    (project / "data.bin").write_bytes(os.urandom(3_000_000))
    (project / "text.txt").write_bytes(os.urandom(300_000))
    figures: list[tuple[int, int]] = []
    for change in ("", "", "text.txt"):
        if change:
            (project / change).write_bytes(os.urandom(300_000))
        assert kernel.run("%%mecapy --bg --as job\nx = 1").ok
        kernel.run("job.result(240)")
        figures.append(eval(kernel.value("(job.sent_bytes, job.reused_bytes)")))  # noqa: S307
    assert figures[0][0] > 3_300_000
    assert figures[1][0] < 10_000 and figures[1][1] >= 3_300_000
    assert 300_000 < figures[2][0] < 400_000


@pytest.mark.cell("said", "An absolute path")
def test_a_path_of_this_machine_is_said(kernel: Kernel, project: Path) -> None:
    """A variable that is an absolute path leads nowhere there: its way in the cell is named."""
    (project / "data.csv").write_text("1")
    kernel.run("from pathlib import Path\nDATA = Path('data.csv').absolute()\nS = str(DATA)")
    ran = kernel.run("%%mecapy\nthere = DATA.exists(), S")
    assert "`DATA` is a path of this machine" in ran.stderr and "'data.csv'" in ran.stderr
    assert "`S` is a path of this machine" in ran.stderr
    ran = kernel.run("%%mecapy\nDATA.read_text()")
    assert "in the cell it is 'data.csv'" in ran.stderr
    kernel.run("ROOT = Path.cwd()\nclass Case: out = ROOT\ncase = Case()")
    assert "`ROOT` is a path of this machine" in kernel.run("%%mecapy\nROOT.name").stderr
    ran = kernel.run("%%mecapy\n(case.out / 'new.txt').write_text('1')")
    assert f"a task cannot see {project}, a folder of this machine" in ran.stderr
    assert "in the cell it is 'new.txt'" in ran.stderr


@pytest.mark.cell("travels", "Paths that a cell makes")
def test_a_path_that_a_cell_makes_leads_here(kernel: Kernel, project: Path) -> None:
    """As a text, as a Path, and in the middle of a message: the task's folder is gone afterwards,
    and what the cell wrote lies in the notebook's.
    """
    ran = kernel.run(
        "%%mecapy\nimport os\nfrom pathlib import Path\nPath('out.csv').write_text('1')\n"
        "found = [os.path.abspath('out.csv')]\nplace = Path.cwd()\nsame = [place, place]\n"
        "note = f'in {place}, not elsewhere'\nraise ValueError(note)"
    )
    assert ran.error == "ValueError" and ran.errors[0]["evalue"] == f"in {project}, not elsewhere"
    assert kernel.value("open(found[0]).read(), str(place), same[0] is place, note") == repr(
        ("1", str(project), True, f"in {project}, not elsewhere")
    )


def test_a_path_that_a_cell_shows_leads_here(kernel: Kernel, project: Path) -> None:
    """In a print, a value and an error; so do paths of user-defined classes and in columns and
    arrays. What holds the path in another form is named.
    """
    kernel.run(
        "import os, pickle\nfrom pathlib import Path\nimport numpy as np, pandas as pd\n"
        "class Mesh(type(Path())):\n    pass\nclass Case:\n    pass"
    )
    ran = kernel.run(
        "%%mecapy\nhere = os.getcwd()\nmesh = Mesh('a.msh').resolve()\n"
        "table = pd.DataFrame({'file': [here + '/a.msh', None]})\nkinds = pd.Categorical([here])\n"
        "names = np.array([here, 'x'])\nhidden = pickle.dumps(here)\n"
        "told = __import__('subprocess').check_output('pwd')\n"
        "open('log.txt', 'w').write(here)\nprint('in', here)\nPath.cwd()"
    )
    assert ran.ok and ran.stdout == f"in {project}\n", ran
    assert ran.results[0]["data"]["text/plain"] == f"PosixPath('{project}')"
    assert "hidden, log.txt hold the path of the task's folder" in ran.stderr, ran.stderr
    mesh = str(project / "a.msh")
    assert kernel.value("str(mesh), type(mesh) is Mesh, table.file[0], kinds[0]") == repr(
        (mesh, True, mesh, str(project))
    )
    assert kernel.value("names.tolist(), told.decode()") == repr(
        ([str(project), "x"], f"{project}\n")
    )
    failed = kernel.run("%%mecapy\nopen(os.path.abspath('no.txt'))")
    assert f"'{project}/no.txt'" in strip(failed.text) and "/child-" not in failed.text


@pytest.mark.cell("said", "`%pip install`, `!pip install`")
def test_a_cell_that_installs_packages(kernel: Kernel) -> None:
    """It is told in one sentence that it cannot, and goes on."""
    for line in ("!pip install -q not-there-xyz", "%pip install not-there-xyz"):
        ran = kernel.run(f"%%mecapy\n{line}\nprint('went on', _exit_code)")
        assert ran.ok and ran.stdout.endswith("went on 1\n") and "ERROR" not in ran.stdout, (
            ran.stdout
        )
        assert "mecapy: a cell cannot install packages on a worker" in ran.stderr
