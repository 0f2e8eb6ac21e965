"""What of the notebook's folder stays at home: secrets, ignored, large and unreadable files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from .conftest import Kernel


@pytest.mark.cell("refused", "Files with secrets")
def test_secrets_stay_at_home(kernel: Kernel, project: Path) -> None:
    """They are known by their names, in any case, and by what they hold; also through links and in
    folders.
    """
    names = (
        ".env",
        ".env.local",
        "server.PEM",
        "my.key",
        "id_rsa",
        "aws_Credentials.csv",
        "client_SECRET.txt",
        "api-token.txt",
        ".netrc",
        ".pypirc",
        "safe.kdbx",
        "store.p12",
        "secrets/inner.txt",
        ".git/config",
        ".venv/lib.txt",
        "venv/pyvenv.cfg",
        "venv/lib.txt",
        "node_modules/x.js",
        "__pycache__/x.txt",
        "notebook.ipynb",
    )
    for name in names:
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_text("hush")
    (project / "deploy").write_text("-----BEGIN OPENSSH PRIVATE KEY-----\nhush\n")
    (project / "account.json").write_text('{"type": "service_account", "Private_Key": "hush"}')
    outside = project.parent / "outside.txt"
    outside.write_text("hush")
    (project / "link.txt").symlink_to(outside)
    (project / "above").symlink_to("..")
    (project / "to_env.txt").symlink_to(".env")
    (project / "open.txt").write_text("open")
    ran = kernel.run("""%%mecapy
import os
found = sorted(os.path.join(place, name)
               for place, _, names in os.walk(".", followlinks=True) for name in names)
texts = []
for name in found:
    try: texts.append(open(name).read())
    except OSError: pass
""")
    assert ran.ok, ran.text
    assert kernel.value("texts") == "['open']"
    assert kernel.value("found") == "['./open.txt', './to_env.txt']"


@pytest.mark.cell("said", "Ignored files that a cell opens")
def test_gitignored_files_stay_and_are_said(kernel: Kernel, project: Path) -> None:
    """What .gitignore ignores, at any depth, does not travel; a cell that lists such a folder or
    names such a file is told, with the option that sends it.
    """
    for name, text in {
        ".git/info/exclude": "scratch.txt\n",
        ".gitignore": "*.log\n!keep.log\n/data/\n",
        "sub/.gitignore": "*.tmp\n",
        "data/big.csv": "1",
        "a.log": "1",
        "keep.log": "1",
        "sub/x.tmp": "1",
        "sub/x.txt": "1",
        "scratch.txt": "1",
    }.items():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text(text)
    ran = kernel.run("""%%mecapy
import os
found = sorted(os.path.join(place, name) for place, _, names in os.walk(".") for name in names)
""")
    assert ran.ok, ran.text
    assert kernel.value("found") == "['./keep.log', './sub/x.txt']"
    assert "sub/x.tmp" in ran.stderr and "did not travel (ignored by .gitignore)" in ran.stderr
    ran = kernel.run("%%mecapy\nimport os\nthere = os.path.exists('data/big.csv')")
    assert kernel.value("there") == "False"
    assert "did not travel (ignored by .gitignore); `%%mecapy --files data`" in ran.stderr
    ran = kernel.run("%%mecapy --files data/big.csv\nthere = open('data/big.csv').read()")
    assert kernel.value("there") == "'1'" and "did not travel" not in ran.stderr, ran.stderr


@pytest.mark.cell("refused", "Reading a file that is too large")
def test_a_large_file_appears_with_its_size(kernel: Kernel, project: Path) -> None:
    """It cannot be read there, and the error names the option that sends it; written anew it is a
    file as any other.
    """
    with (project / "big.bin").open("wb") as big:
        big.truncate(30_000_000)
    (project / "small.txt").write_text("s")
    ran = kernel.run("""%%mecapy
import os, numpy
sizes = {name: os.path.getsize(name) for name in os.listdir()}
refused = []
for how in (lambda: open("big.bin"), lambda: open("big.bin", "a"), lambda: open("big.bin", "r+b"),
            lambda: numpy.load("big.bin"), lambda: os.open("big.bin", os.O_RDONLY)):
    try: how()
    except PermissionError as error: refused.append("--files big.bin" in str(error))
""")
    assert ran.ok, ran.text
    assert kernel.value("sizes") == "{'small.txt': 1, 'big.bin': 30000000}"
    assert kernel.value("refused") == "[True, True, True, True, True]"
    assert (project / "big.bin").stat().st_size == 30_000_000
    ran = kernel.run("%%mecapy\nopen('big.bin', 'rb').read()")
    assert ran.error == "PermissionError" and "--files big.bin" in ran.text
    ran = kernel.run("%%mecapy\n_ = open('big.bin', 'w').write('short')")
    assert ran.ok and (project / "big.bin").read_text() == "short", ran.stderr


def test_it_can_be_turned_off(kernel: Kernel, project: Path) -> None:
    """With `--no-folder` nothing goes, and nothing comes unasked."""
    (project / "here.txt").write_text("1")
    ran = kernel.run("""%%mecapy --no-folder
import os
found = os.listdir()
with open("made.txt", "w") as out: out.write("1")
""")
    assert ran.ok and kernel.value("found") == "[]" and not (project / "made.txt").exists()
    assert "made.txt" in ran.stderr and "did not come home" in ran.stderr


def test_a_folder_that_is_not_readable(kernel: Kernel, project: Path) -> None:
    """Sockets and pipes stay."""
    os.mkfifo(project / "pipe")
    assert kernel.run("%%mecapy\nimport os\nfound = os.listdir()").ok
    assert kernel.value("found") == "[]"


LOOKS = {
    "glob": "import glob\nfound = glob.glob('../beside/*.csv')",
    "walk": "import os\nfound = list(os.walk('../beside'))",
    "exists": "import os\nfound = os.path.exists('../beside/a.csv')",
    "isdir": "from os.path import isdir\nfound = isdir('../beside')",
    "Path.is_file": "from pathlib import Path\nfound = Path('../beside/a.csv').is_file()",
    "a function of a module": "import asks\nfound = asks.there('../beside/a.csv')",
    "a cache": (
        "found = 0\ntry: found = open('../beside/a.csv').read()\nexcept FileNotFoundError: pass"
    ),
    "an absolute path": "import os\nfound = os.path.exists(beside + '/a.csv')",
}


@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_what_a_cell_does_not_find_outside_is_named(
    kernel: Kernel, project: Path, look: str
) -> None:
    """Files beside the notebook's folder stay, so a cell that looks for them goes another way."""
    beside = project.parent / "beside"
    beside.mkdir()
    (beside / "a.csv").write_text("1")
    (project / "asks.py").write_text("import os\ndef there(path): return os.path.isfile(path)\n")
    assert kernel.run(f"beside = {str(beside)!r}").ok
    ran = kernel.run(f"%%mecapy\n{look}")
    assert ran.ok and kernel.value("bool(found)") == "False", ran.text
    assert "beside" in ran.stderr and "did not travel; `%%mecapy --files" in ran.stderr


def test_a_file_that_is_nowhere_is_not_named(kernel: Kernel, project: Path) -> None:
    """Nor one that the cell makes, nor what Python looks for by itself."""
    ran = kernel.run("""%%mecapy
import os, pathlib, shutil
if not os.path.exists("../none.csv") and not pathlib.Path("new.txt").exists():
    pathlib.Path("new.txt").write_text("1")
os.makedirs("new/er", exist_ok=True)
shutil.which("no-such-program")
""")
    assert ran.ok and "did not travel" not in ran.stderr, ran.stderr


def test_a_path_that_is_none_fails_as_at_home(kernel: Kernel, project: Path) -> None:
    """Nothing of MecaPy stands in the traceback, as text and on the exception."""
    ran = kernel.run("%%mecapy\nimport os\nos.path.exists(None)")
    assert ran.error == "TypeError" and "placeholders" not in ran.text, ran.text
    steps = (
        "import sys, traceback; steps = [s.name for s in traceback.extract_tb(sys.last_traceback)]"
    )
    assert kernel.run(steps).ok and "wrapped" not in kernel.value("steps")


def test_what_a_cell_writes_beside_the_folder_is_named(kernel: Kernel, project: Path) -> None:
    """It ends with the task; a file that came by `--files` and stays as it is does not count."""
    (project.parent / "data").mkdir()
    (project.parent / "data" / "a.csv").write_text("1")
    ran = kernel.run("""%%mecapy --files ../data/*
import os
os.makedirs("../results", exist_ok=True)
with open("../results/r.csv", "w") as out: out.write(open("../data/a.csv").read())
with open("in.csv", "w") as out: out.write("1")
""")
    assert ran.ok and (project / "in.csv").exists()
    assert "../results/r.csv did not come home: outside the notebook's folder" in ran.stderr
    assert "../data/a.csv" not in ran.stderr, ran.stderr
