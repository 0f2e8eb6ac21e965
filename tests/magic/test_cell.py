"""A `%%mecapy` cell behaves as if it had run in place."""

from __future__ import annotations

import errno
import sys
from pathlib import Path

import pytest

from mecapy_jupyter.cells import magic_options
from mecapy_jupyter.travel.files import gather, missing

from .conftest import Kernel


def test_variables_come_home(kernel: Kernel) -> None:
    """What the cell binds is there afterwards; what it does not read is not needed."""
    assert kernel.run("a = 20; huge = object()").ok
    assert kernel.run("%%mecapy\nimport math\ny = a + math.floor(2.5)").ok
    assert kernel.value("y, math.pi > 3") == "(22, True)"


def test_the_last_expression_is_out(kernel: Kernel) -> None:
    """It shows as execute_result, and `_`, `Out[n]` and `_n` are its value."""
    ran = kernel.run("%%mecapy\n{'answer': 6 * 7}")
    assert ran.results[0]["data"]["text/plain"] == "{'answer': 42}"
    number = ran.reply["execution_count"]
    assert ran.results[0]["execution_count"] == number
    assert kernel.run("kept = _").ok
    assert (
        kernel.value(f"(kept, Out[{number}] is kept, _{number} is kept)")
        == "({'answer': 42}, True, True)"
    )


def test_a_semicolon_is_quiet(kernel: Kernel) -> None:
    """`x;` shows nothing."""
    ran = kernel.run("%%mecapy\nx = 3\nx;")
    assert ran.ok and not ran.results and not ran.stdout


def test_output_keeps_its_order(kernel: Kernel) -> None:
    """Prints, displays, stderr, results and pictures appear in the order they were made."""
    ran = kernel.run("""%%mecapy --quiet
import sys, matplotlib.pyplot as plt
print("one")
display({"two": 2})
print("three", file=sys.stderr)
plt.plot([1, 2])
"four"
""")
    order = [kind for kind in ran.order if kind in ("stream", "display_data", "execute_result")]
    assert order == ["stream", "display_data", "stream", "execute_result", "display_data"]
    assert (ran.stdout, ran.stderr) == ("one\n", "three\n") and "image/png" in ran.displays[1][
        "data"
    ]


def test_prints_are_live(kernel: Kernel) -> None:
    """A line arrives while the cell still runs:
    the second line says when the first was shown here.
    """
    ran = kernel.run("""%%mecapy
import time
for i in range(3):
    print(i, time.time())
    time.sleep(0.4)
""")
    assert ran.order.count("stream") >= 3


def test_aliases_see_changes_in_place(kernel: Kernel) -> None:
    """After `b = a`, `a.append(1)` remotely is seen by both."""
    kernel.run("a = []; b = a; box = [a]")
    assert kernel.run("%%mecapy\na.append(1)").ok
    assert kernel.value("(a, b, a is b, box[0] is a)") == "([1], [1], True, True)"


def test_deleted_names_are_gone(kernel: Kernel) -> None:
    """`del x` removes x here; names the cell never saw stay."""
    kernel.run("x = 1; y = 2")
    assert kernel.run("%%mecapy\ndel x").ok
    assert kernel.value("('x' in globals(), y)") == "(False, 2)"


def test_functions_and_classes_of_the_notebook(kernel: Kernel) -> None:
    """They travel with what they use, and objects of a notebook's class come home as such."""
    kernel.run("""
import math
factor = 2
def area(r): return math.pi * r ** 2 * factor
class Disc:
    def __init__(self, r): self.r = r
    def area(self): return area(self.r)
""")
    assert kernel.run(
        "%%mecapy\ndiscs = [Disc(r) for r in (1, 2)]\nareas = [round(d.area(), 3) for d in discs]"
    ).ok
    assert kernel.value("(areas, isinstance(discs[0], Disc))") == "([6.283, 25.133], True)"


def test_the_users_own_module(kernel: Kernel, folder: Path) -> None:
    """A module beside the notebook works on the worker: imported there, imported here, and in its
    present state.
    """
    (folder / "beam_helpers.py").write_text("E = 210e9\ndef stiffness(a, l): return E * a / l\n")
    assert kernel.run("%%mecapy\nimport beam_helpers\nk = beam_helpers.stiffness(1e-4, 2.0)").ok
    assert kernel.value("k") == "10500000.0"
    kernel.run("import beam_helpers\nbeam_helpers.E = 70e9")
    assert kernel.run("%%mecapy\nk = beam_helpers.stiffness(1e-4, 2.0)").ok
    assert kernel.value("k") == "3500000.0"


def test_top_level_await_and_magics(kernel: Kernel) -> None:
    """IPython runs the cell: await, line magics,
    shell commands and nested cell magics work there.
    """
    ran = kernel.run(
        "%%mecapy\nimport asyncio\nawait asyncio.sleep(0.01)\nout = !echo one two\n%precision "
        "3\nout[0]"
    )
    assert ran.ok and ran.results[0]["data"]["text/plain"] == "'one two'"
    assert "Wall time" in kernel.run("%%mecapy\n%%time\nz = 5").stdout
    assert kernel.value("z") == "5"


def test_state_around_the_variables(kernel: Kernel) -> None:
    """A seed set here counts there, and numbers drawn there count here."""
    kernel.run("import numpy as np, random\nnp.random.seed(3); random.seed(3)")
    expected = kernel.value(
        "(np.random.rand(), np.random.rand(), random.random(), random.random())"
    )
    kernel.run("np.random.seed(3); random.seed(3)")
    assert kernel.run(
        "%%mecapy\nimport random\nfirst, third = float(np.random.rand()), random.random()"
    ).ok
    got = (
        kernel.value("(np.float64(first), np.random.rand(), third, random.random())")
        .replace("np.float64(", "")
        .replace(")", "")
    )
    assert got == expected.replace("np.float64(", "").replace(")", "")


def test_inputs_and_outputs_can_be_named(kernel: Kernel) -> None:
    """`-i` and `-o` override what is captured and what comes home; `-o none` brings nothing."""
    kernel.run("a = 1; b = 2; c = 3")
    assert kernel.run("%%mecapy -i a,b -o y*\ny1 = a + b; y2 = 5; z = 'c' in globals(); c2 = 9").ok
    assert kernel.value("(y1, y2, 'z' in globals(), 'c2' in globals())") == "(3, 5, False, False)"
    assert kernel.run("%%mecapy -o none\nnothing = 1").ok
    assert kernel.value("'nothing' in globals()") == "False"


def test_background(kernel: Kernel) -> None:
    """`--bg` returns at once with a Future; the variables are bound when it ends."""
    assert kernel.run(
        "%%mecapy --bg --as job\nimport time\ntime.sleep(0.5)\nlate = 11\nlate * 2"
    ).ok
    assert kernel.value("(job.result(20), job.vars['late'], late)") == "(22, 11, 11)"
    assert kernel.value("await job") == "22"


def test_dry_run_sends_nothing(kernel: Kernel) -> None:
    """It names what would travel, and the cell does not run."""
    kernel.run("import numpy as np\narr = np.zeros(1_000_000)")
    ran = kernel.run("%%mecapy --dry-run\ntotal = arr.sum()")
    assert ran.ok and "arr" in ran.stdout and "8 MB" in ran.stdout
    assert kernel.value("'total' in globals()") == "False"


def test_quick_cells_show_nothing_of_ours(kernel: Kernel) -> None:
    """A cell that ends within two seconds has only its own output."""
    ran = kernel.run("%%mecapy\nprint('mine')")
    assert [kind for kind in ran.order if kind not in ("status", "execute_input")] == ["stream"]


def test_the_status(kernel: Kernel) -> None:
    """`%mecapy` names the user, the gateway, the workers and the last tasks."""
    kernel.run("%%mecapy --name seen\nx = 1")
    ran = kernel.run("%mecapy")
    text = ran.displays[0]["data"]["text/plain"]
    assert "local" in text and "workers" in text and "seen" in text


def test_commands(kernel: Kernel) -> None:
    """tasks, logs, get and attach find a finished task again."""
    kernel.run("%%mecapy --name looked_up\nprint('said')\ngone = [1]")
    assert "looked_up" in kernel.run("%mecapy tasks").stdout
    assert kernel.run("%mecapy logs last").stdout == "said\n"
    kernel.run("del gone")
    assert kernel.run("%mecapy get last gone").ok and kernel.value("gone") == "[1]"
    kernel.run("del gone")
    attached = kernel.run("%mecapy attach last")
    assert attached.stdout == "said\n" and kernel.value("gone") == "[1]"


def test_files_go_along_and_come_home(kernel: Kernel, folder: Path) -> None:
    """`--files` stand in the task's folder under their relative paths; `--keep` brings home what
    matches, large or small.
    """
    (folder / "data").mkdir(exist_ok=True)
    (folder / "data" / "loads.csv").write_text("1,2,3")
    (folder / "mesh.bin").write_bytes(bytes(range(256)) * 1000)
    ran = kernel.run("""%%mecapy --no-folder --files mesh.bin,data/*.csv --keep out/*.bin,note.txt
import errno
import sys
from pathlib import Path

import pytest
total = sum(map(int, Path("data/loads.csv").read_text().split(",")))
Path("out").mkdir()
Path("out/twice.bin").write_bytes(Path("mesh.bin").read_bytes() * 2)
Path("note.txt").write_text("kept")
Path("left.txt").write_text("not kept")
""")
    assert ran.ok, ran.text
    assert kernel.value("total") == "6"
    assert (folder / "out" / "twice.bin").read_bytes() == bytes(range(256)) * 2000
    assert (folder / "note.txt").read_text() == "kept" and not (folder / "left.txt").exists()


def test_what_else_a_cell_wrote(kernel: Kernel, folder: Path) -> None:
    """It is listed; a small file is fetched when it is asked for, a large one says how to keep it;
    what was sent does not count.
    """
    (folder / "sent.txt").write_text("sent")
    ran = kernel.run("""%%mecapy --no-folder --files sent.txt --keep kept.txt --name wrote_files
import errno
import sys
from pathlib import Path

import pytest
Path("out").mkdir()
Path("out/log.txt").write_text("small")
Path("big.bin").write_bytes(bytes(2_000_000))
Path("kept.txt").write_text("kept")
Path(".cache").write_text("hidden")
x = 5
""")
    assert ran.ok, ran.text
    assert (
        "out/log.txt (5 B)" in ran.stderr
        and "big.bin (2 MB)" in ran.stderr
        and "%mecapy get" in ran.stderr
    )
    assert (
        "sent.txt" not in ran.stderr and "kept.txt" not in ran.stderr and ".cache" not in ran.stderr
    )
    assert not (folder / "out" / "log.txt").exists()
    kernel.run("x = 6")
    assert (
        kernel.run("%mecapy get last out/log.txt").ok
        and (folder / "out" / "log.txt").read_text() == "small"
    )
    ran = kernel.run("%mecapy get last big.bin")
    assert ran.error == "NotFound" and "--keep big.bin" in ran.text
    assert (
        kernel.run("%mecapy get last nothing.txt").error == "NotFound" and kernel.value("x") == "6"
    )
    assert kernel.run("%mecapy get last x").ok and kernel.value("x") == "5"


def test_files_stay_inside_the_folder(kernel: Kernel) -> None:
    """A path of the machine, one that leads out on its way, and a pattern that matches nothing, are
    refused before anything is sent.
    """
    for line in (
        "--files data/../../secret",
        "--files ..",
        "--files /etc/passwd",
        "--files nothing_*.csv",
        "--keep ../x",
    ):
        ran = kernel.run(f"%%mecapy {line}\nran = 1")
        assert ran.error == "ConfigError" and kernel.value("'ran' in globals()") == "False"
    assert "`--files ../" in kernel.run("%%mecapy --files /etc/passwd\nran = 1").text


def test_files_above_the_folder(kernel: Kernel, folder: Path) -> None:
    """`../data` leads to the same files in the task, beside those of the folder; its own folder is
    called as the notebook's, what it writes there is listed and kept, and nothing of the machine is
    above.
    """
    for place, text in {
        "data_above/a.csv": "1",
        "data_above/b.csv": "2",
        f"{folder.name}/near.txt": "3",
    }.items():
        path = folder.parent / place
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    ran = kernel.run("""%%mecapy --files ../data_above/*.csv,near.txt --keep made.txt
import errno
import sys
from pathlib import Path

import pytest
read = [Path(name).read_text()
        for name in ("../data_above/a.csv", "../data_above/b.csv", "near.txt")]
here = Path.cwd().name
above = sorted(path.name for path in Path("..").iterdir())
Path("made.txt").write_text("kept")
""")
    assert ran.ok, ran.text
    assert kernel.value("read") == "['1', '2', '3']"
    assert kernel.value("here") == repr(folder.name)
    assert kernel.value("above") == repr(sorted(["data_above", folder.name]))
    assert (folder / "made.txt").read_text() == "kept"
    plan = kernel.run("%%mecapy --dry-run --files ../data_above/a.csv\nx = 1").stdout
    assert f"begins in the task's folder {folder.name}" in plan and "data_above/a.csv (1 B)" in plan


def test_a_file_that_was_not_sent(kernel: Kernel, folder: Path) -> None:
    """A cell that opens a file of this machine is told the option that takes it along; one that is
    nowhere is left to its own error.
    """
    for place in ("left.csv", "../left_above.csv"):
        (folder / place).write_text("1")
    for opened, said in {
        "left.csv": "`%%mecapy --files left.csv`",
        "../left_above.csv": "`%%mecapy --files ../left_above.csv`",
        str(folder / "left.csv"): "in the cell it is 'left.csv'",
    }.items():
        for call in ("open", "np.loadtxt", "pd.read_csv"):
            ran = kernel.run(
                f"%%mecapy --no-folder\nimport numpy as np, pandas as pd\n{call}({opened!r})"
            )
            assert ran.error in ("FileNotFoundError", "PermissionError") and said in ran.stderr, (
                call,
                ran.stderr,
            )
    ran = kernel.run("%%mecapy\nopen('nowhere.csv')")
    assert ran.error == "FileNotFoundError" and "--files" not in ran.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
def test_very_many_files(tmp_path: Path) -> None:
    """None holds a descriptor on its way; a process may have no more than 1,024."""
    for number in range(50):
        (tmp_path / f"{number}.csv").write_text(f"{number}\n" * 20_000)
    before = len(list(Path("/proc/self/fd").iterdir()))
    along = gather.gather(tmp_path, ["*.csv"], gather.Bounds(automatic=False))
    entries = {entry.path.rpartition("/")[2]: entry for entry in along.index.entries}
    one = entries["7.csv"]
    content = bytes(along.packs[one.pack])[one.offset : one.offset + one.size_bytes]
    assert len(entries) == 50 and content == b"7\n" * 20_000
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_what_an_error_says_of_files(tmp_path: Path) -> None:
    """Only of one that is missing there; words of other errors, and words that are no path, are
    left alone.
    """
    (tmp_path / "data").mkdir()
    (tmp_path / "my mesh.msh").write_text("1")
    for error in (
        OSError("no data received from host"),
        OSError("x" * 5000),
        FileNotFoundError(f"'{'x' * 5000}'"),
        FileNotFoundError("'a\0b'"),
        FileNotFoundError(errno.ENOENT, "No such file", "y" * 5000),
        FileExistsError(errno.EEXIST, "File exists", "data"),
        ValueError("'data'"),
        FileNotFoundError("no data there"),
        PermissionError(errno.EACCES, "no", 7),
    ):
        assert missing.unsent(error, tmp_path) == []
    assert "--files data/*`" in missing.unsent(FileNotFoundError("there is no 'data'"), tmp_path)[0]
    for error in (
        FileNotFoundError(errno.ENOENT, "No such file", "my mesh.msh"),
        FileNotFoundError("my mesh.msh not found."),
    ):
        assert "--files 'my mesh.msh'`" in missing.unsent(error, tmp_path)[0]


def test_the_own_error_of_a_cell_with_a_very_long_word(kernel: Kernel) -> None:
    """It is what the notebook shows."""
    ran = kernel.run("%%mecapy\nraise OSError('x' * 5000)")
    assert ran.error == "OSError" and ran.errors[0]["evalue"] == "x" * 5000


def test_files_behind_links_and_with_blanks(kernel: Kernel, folder: Path) -> None:
    """A link goes along as the content it leads to; names with blanks stand in quotes, there and
    back.
    """
    for place in ("store.msh", "my mesh.msh", "data/a b.csv"):
        (folder / place).parent.mkdir(exist_ok=True)
        (folder / place).write_text(place)
    (folder / "mesh.msh").symlink_to(folder / "store.msh")
    ran = kernel.run("%%mecapy\nopen('mesh.msh')")
    assert "`%%mecapy --files mesh.msh`" in ran.stderr
    ran = kernel.run("""%%mecapy --files 'my mesh.msh,data/a b.csv, mesh.msh' --keep 'out dir/*.vtk'
import pathlib
read = [pathlib.Path(name).read_text() for name in ("my mesh.msh", "data/a b.csv", "mesh.msh")]
pathlib.Path("out dir").mkdir()
_ = pathlib.Path("out dir/one.vtk").write_text("made")
""")
    assert ran.ok, ran.text
    assert kernel.value("read") == "['my mesh.msh', 'data/a b.csv', 'store.msh']"
    assert (folder / "out dir" / "one.vtk").read_text() == "made"


def test_a_comment_on_the_line(kernel: Kernel) -> None:
    """As on any line of Python; a `#` in quotes or inside a word is none."""
    ran = kernel.run("%%mecapy --name 'case #7'  # don't wait for it\ny = 1\nprint(y)")
    assert ran.ok and ran.stdout == "1\n", ran
    assert magic_options.words("--files mesh#2.msh --name 'a # b' # it's") == [
        "--files",
        "mesh#2.msh",
        "--name",
        "a # b",
    ]
