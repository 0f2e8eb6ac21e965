"""Files that go along with a cell and come home, and what an error says of one."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from mecapy_jupyter.travel.files import gather, missing

from .conftest import Kernel


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
Path(".cache").mkdir()
Path(".cache/a").write_text("hidden")
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


def test_times_and_modes_that_a_cell_sets(kernel: Kernel, folder: Path) -> None:
    """Alone, without another content; what it writes is as old here as it was in the cell."""
    for name in ("old.txt", "run.sh"):
        (folder / name).write_text("1")
        os.utime(folder / name, (5e8, 5e8))
    ran = kernel.run(
        "%%mecapy --quiet\nimport os\nos.utime('old.txt', (1e9, 1e9)); os.chmod('run.sh', 0o755)\n"
        "with open('first.txt', 'w') as out: out.write('a longer text')\n"
        "for name, mode in [('kept', 0o444), ('shared', 0o664), ('mine', 0o400)]:\n"
        "    open(name, 'w').close(); os.chmod(name, mode)\n"
        "with open('second.txt', 'w') as out: out.write('1')\n"
        "while os.stat('second.txt').st_mtime_ns == os.stat('first.txt').st_mtime_ns:\n"
        "    os.utime('second.txt')"
    )
    assert ran.ok, ran.text
    assert (folder / "old.txt").stat().st_mtime == 1e9
    about = (folder / "run.sh").stat()
    assert (about.st_mtime, about.st_mode & 0o777) == (5e8, 0o755)
    modes = [(folder / name).stat().st_mode & 0o777 for name in ("kept", "shared")]
    assert modes == [0o444, 0o664]
    assert not (folder / "mine").stat().st_mode & 0o222
    first, second = ((folder / f"{name}.txt").stat() for name in ("first", "second"))
    assert second.st_mtime_ns >= first.st_mtime_ns > 1.5e18
