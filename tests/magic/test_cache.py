"""`--cache`: a cell that ran before brings its result home, and nothing stale ever does."""

from pathlib import Path

import pytest

from .conftest import Kernel, started

HIT, NOT = "from the cache", "not cached: "


def _twice(kernel: Kernel, cell: str, between: str = "pass", options: str = ""):
    """The cell, something else, and the cell again."""
    first = kernel.run(f"%%mecapy --cache {options}\n{cell}")
    assert first.ok, first.text
    assert HIT not in first.stderr, first.stderr
    assert kernel.run(between).ok
    second = kernel.run(f"%%mecapy --cache {options}\n{cell}")
    assert second.ok, second.text
    return first, second


def test_a_hit_brings_back_variables_prints_and_plots(kernel: Kernel):
    """Everything that the run gave: variables, changes in place, prints, a picture, the value, a
    file; and when it ran is said.
    """
    kernel.run("import numpy as np\ndata = [np.arange(4.0)]; other = data")
    cell = (
        "import matplotlib.pyplot as plt\n"
        "total = float(data[0].sum())\nprint('summed', total)\n"
        "plt.plot(data[0]); plt.show()\n"
        "data.append(total)\nopen('sum.txt', 'w').write(str(total))\ntotal * 2"
    )
    first = kernel.run(f"%%mecapy --cache\n{cell}")
    assert first.ok and HIT not in first.stderr, first.stderr
    assert NOT not in first.stderr, first.stderr
    kernel.run("import os; os.remove('sum.txt'); del total; data.pop()")
    second = kernel.run(f"%%mecapy --cache\n{cell}  # a comment")
    assert second.ok and HIT in second.stderr and "saved" in second.stderr, second.stderr
    assert "ran today" in second.stderr or "ran yesterday" in second.stderr
    assert second.stdout == first.stdout == "summed 6.0\n"
    assert (
        [one["data"]["image/png"] for one in second.displays if "image/png" in one["data"]]
        == [one["data"]["image/png"] for one in first.displays if "image/png" in one["data"]]
        != []
    )
    assert second.results[0]["data"]["text/plain"] == "12.0"
    assert kernel.value("(total, len(data), data is other, open('sum.txt').read(), _)") == (
        "(6.0, 2, True, '6.0', 12.0)"
    )


@pytest.mark.parametrize(
    ("before", "cell", "between"),
    [
        ("def f(x): return x + 1", "y = f(1)", "def f(x): return x + 2"),
        ("K = 1\ndef g(x): return x + K\ndef f(x): return g(x)", "y = f(1)", "K = 2"),
        ("import numpy as np; a = np.zeros(300_000)", "y = a.sum()", "a[7] = 1"),
        ("import numpy as np; np.random.seed(1)", "import numpy as np\ny = np.random.rand()", ""),
        ("import functools\n@functools.lru_cache\ndef f(x): return x + 1", "y = f(1)",
         "@functools.lru_cache\ndef f(x): return x + 2"),
        ("", "import os\ny = os.environ.get('LOAD')", "import os; os.environ['LOAD'] = '3'"),
        ("x = [1]; z = x", "x.append(2); y = len(z)", "x = [1]; z = [1]"),
        ("class P:\n    def m(self): return 1\np = P()", "y = p.m()",
         "class P:\n    def m(self): return 2\np = P()"),
        ("import decimal; n = decimal.Decimal(1)", "y = n / 3",
         "decimal.getcontext().prec = 5"),
        ("import pandas as pd; d = pd.DataFrame({'a': [1, 2]})", "y = d.a.sum()",
         "d.loc[0, 'a'] = 5"),
    ],
    ids=["helper", "global of a helper", "element", "random state", "cached helper", "environment",
         "aliases", "method", "precision", "frame"],
)  # fmt: skip
def test_a_change_is_a_miss(kernel: Kernel, before: str, cell: str, between: str):
    """What the result depends on has changed, so the cell runs."""
    kernel.run(before)
    _, second = _twice(kernel, cell, between or "pass")
    assert HIT not in second.stderr, second.stderr
    kernel.run("import os; os.environ.pop('LOAD', None)\nimport decimal\n"
               "decimal.setcontext(decimal.Context(prec=28))")  # fmt: skip


@pytest.mark.parametrize(
    ("cell", "why"),
    [
        ("import time\nt = time.time()", "it read the clock (time.time)"),
        ("import datetime\nt = datetime.datetime.now()", "it reads the clock ('now')"),
        ("import time\nt = time.strftime('%Y')", "it read the clock (time.strftime)"),
        ("import numpy as np\nr = np.random.default_rng().random()", "without a seed"),
        ("import random\nr = random.Random().random()", "without a seed"),
        ("import uuid\nr = str(uuid.uuid4())", "without a seed"),
        ("from scipy.stats import qmc\nr = qmc.Sobol(2).random(2)", "without a seed"),
        ("t = open('load.txt').read()", "it used the file load.txt"),
        ("from pathlib import Path\nt = Path('nothing.txt').exists()", "the file nothing.txt"),
        ("import os\nt = os.listdir()", "it listed the folder"),
        ("import numpy as np\nt = np.loadtxt('load.txt')", "it used the file load.txt"),
        ("t = open('/proc/uptime').read()", "it used the file /proc/uptime"),
        ("import socket\ntry:\n    socket.create_connection(('127.0.0.1', 9), 1)\n"
         "except OSError as error:\n    t = str(error)", "it used the network"),
        ("import subprocess\nt = subprocess.run(['date'], capture_output=True).stdout",
         "it started another process"),
        ("t = !date", "it started another process"),
        ("t = %timeit -o -n1 -r1 1", "the clock"),
        ("import asyncio\nt = asyncio.get_event_loop().time()", "it read the clock"),
        ("import resource\nt = resource.getrusage(0).ru_utime", "it looks at the machine"),
        ("import inspect\ndef g(): return 1\nt = inspect.getsource(g)",
         "it reads the text of code"),
    ],
    ids=["clock", "now", "strftime", "default_rng", "Random", "uuid4", "sampler", "file",
         "missing file", "listing", "loadtxt", "system file", "network", "process", "command",
         "timeit", "loop's time", "usage", "source"],
)  # fmt: skip
def test_what_no_key_covers_is_not_kept(kernel: Kernel, folder: Path, cell: str, why: str):
    """The cell runs again, and the reason is said."""
    (folder / "load.txt").write_text("1.5\n")
    first, second = _twice(kernel, cell)
    for ran in (first, second):
        assert NOT in ran.stderr and why in ran.stderr, ran.stderr
        assert HIT not in ran.stderr


@pytest.mark.parametrize(
    "cell",
    [
        "import numpy as np\nnp.random.seed(3)\ny = np.random.rand(3)",
        "import random\nrandom.seed(3)\ny = random.random()",
        "import numpy as np\ny = np.random.default_rng(3).random(3)",
        "from tqdm import tqdm\ny = sum(tqdm(range(5)))",
        "import time\ntime.sleep(0.01)\ny = 1",
        "import os\nos.makedirs('out', exist_ok=True)\nopen('out/a.txt', 'w').write('1')\n"
        "y = open('out/a.txt').read()",
        "import tempfile\nwith tempfile.TemporaryFile() as f:\n    f.write(b'1')\ny = 1",
        "import pandas as pd\ny = pd.DataFrame({'a': [1, 2]}).describe()\ny",
        "import scipy.optimize as so\ny = so.minimize(lambda x: (x - 1) ** 2, [0.0]).x",
        "import logging\nlogging.getLogger('x').warning('seen')\ny = 1",
        "y = int(frame.a.sum())",
        "y = Kind.A.value + Case().run()",
    ],
    ids=["np.seed", "seed", "rng", "tqdm", "sleep", "own file", "temporary", "pandas", "scipy",
         "logging", "frame", "classes"],
)  # fmt: skip
def test_an_ordinary_cell_is_kept(kernel: Kernel, folder: Path, cell: str):
    """Seeds in the cell, progress bars, files of its own: found again, in another state, too."""
    (folder / "load.txt").write_text("1.5\n")
    kernel.run(
        "import numpy as np, random, pandas, scipy.optimize, enum\n"
        "frame = pandas.DataFrame({'a': [1, 2]})\n"
        "class Kind(enum.Enum):\n    A = 1\n"
        "class Case:\n    def run(self): return 1"
    )
    first, second = _twice(kernel, cell, "np.random.rand(); random.random()")
    assert HIT in second.stderr, first.stderr + second.stderr


def test_a_declared_file_counts_by_its_content(kernel: Kernel, folder: Path):
    """Found again until a byte of it changes."""
    (folder / "load.txt").write_text("1.5\n")
    cell = "import numpy as np\ny = float(np.loadtxt('load.txt'))"
    _, second = _twice(kernel, cell, options="--files load.txt")
    assert HIT in second.stderr, second.stderr
    (folder / "load.txt").write_text("2.5\n")
    assert HIT not in kernel.run(f"%%mecapy --cache --files load.txt\n{cell}").stderr
    assert kernel.value("y") == "2.5"


def test_dry_run_tells_whether_it_would_be_found(kernel: Kernel):
    """Before it ran, after it, and for a cell that is not cached."""
    kernel.run("def f(x): return x * 3\nload = 71")

    def told(cell: str) -> str:
        return kernel.run(f"%%mecapy --cache --dry-run\n{cell}").stdout

    assert "cache: no kept result has this content" in told("y = f(load)")
    assert kernel.run("%%mecapy --cache\ny = f(load)").ok
    assert "cache: a kept result would come home, which ran today" in told("y = f(load)")
    assert "cache: not used, because it reads the clock ('now')" in told(
        "import datetime as dt\ndt.datetime.now()"
    )


def test_a_link_in_the_folder_is_no_reason(kernel: Kernel, folder: Path):
    """A cell that does not follow it is kept, and one that does is not."""
    (folder / "case.txt").write_text("1")
    (folder / "current").symlink_to("case.txt")
    try:
        _, second = _twice(kernel, "y = 17 * 2")
        assert HIT in second.stderr, second.stderr
        first, _ = _twice(kernel, "y = open('current').read()")
        assert "it used the file current" in first.stderr, first.stderr
    finally:
        (folder / "current").unlink()


def test_only_what_is_reached_of_a_module_counts(kernel: Kernel, folder: Path):
    """A function beside one that names the clock is kept; that one is not."""
    (folder / "timed_case.py").write_text(
        "from datetime import datetime\n"
        "def stamp(): return str(datetime.now())\n"
        "def solve(x): return x + 1\n"
    )
    kernel.run("import timed_case")
    first, second = _twice(kernel, "y = timed_case.solve(1)")
    assert HIT in second.stderr, first.stderr
    first, _ = _twice(kernel, "y = timed_case.stamp()")
    assert "it reads the clock ('now')" in first.stderr, first.stderr


def test_what_has_no_content_is_said(kernel: Kernel):
    """An input that cannot be hashed stably: the cell runs each time."""
    kernel.run("def g(): return eval('1')")
    _, second = _twice(kernel, "y = g()")
    assert f"{NOT}g → g() uses eval(), which may read any variable" in second.stderr, second.stderr


@pytest.mark.long
def test_another_kernel_finds_it(kernel_environment: dict[str, str], tmp_path: Path):
    """With classes, sets and functions made anew there; its own object changes in place."""
    define = (
        "%load_ext mecapy_jupyter\nimport numpy as np, dataclasses\n"
        "WORDS = {'oak', 'steel', 'glass'}\n"
        "@dataclasses.dataclass\nclass Beam:\n    length: float\n    tags: set\n"
        "def bend(b): return b.length ** 3 * len(WORDS)\nbeam = Beam(2.0, {'a', 'b'}); same = beam"
    )
    cell = "%%mecapy --cache\nbent = bend(beam)\nbeam.length = 5.0\nprint(bent)"
    for number in range(2):
        with started(kernel_environment, tmp_path) as kernel:
            kernel.run(define)
            ran = kernel.run(cell)
            assert (HIT in ran.stderr) is bool(number) and ran.stdout == "24.0\n", ran.stderr
            assert kernel.value("(bent, beam.length, same is beam)") == "(24.0, 5.0, True)"


def test_a_worker_with_other_versions_keeps_nothing(kernel: Kernel):
    """The key names versions that the workers had, or those here when no worker was alive."""
    stale = (
        "import time; from mecapy_jupyter.client import result_cache\n"
        "url = next(iter(result_cache._asked))\n"
        "result_cache._asked[url] = time.monotonic() + 600, {'numpy': '0.1'}"
    )
    cell = "import numpy\ntaken = numpy.sqrt(1764.0)"
    assert kernel.run("%%mecapy --cache\nearlier = 1").ok and kernel.run(stale).ok
    first, second = _twice(kernel, cell)
    for run in (first, second):
        assert "not cached: the worker has numpy" in run.stderr and "names 0.1" in run.stderr
    assert kernel.run("result_cache._asked.clear()").ok
    assert HIT in _twice(kernel, cell)[1].stderr
