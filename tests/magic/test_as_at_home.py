"""What a cell on a worker finds and leaves is what it would find and leave here: found by trying,
one difference after another.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Kernel

WIDE = (
    "import pandas as pd\nprint(pd.DataFrame({f'column{n}': [n] * 2 for n in "
    "range(30)}))\nprint(type(get_ipython()).__name__)"
)


def test_a_library_that_asks_finds_a_notebook(kernel: Kernel) -> None:
    """pandas breaks lines for a page and not for a terminal; rich, pyvista and many a recipe ask
    for the shell's class.
    """
    here = kernel.run(WIDE)
    assert here.ok and kernel.run(f"%%mecapy\n{WIDE}").stdout == here.stdout
    cut = "import pandas as pd\npd.cut([1, 5, 9], 3)"
    assert kernel.run(f"%%mecapy\n{cut}").results[0]["data"] == kernel.run(cut).results[0]["data"]


def test_a_figure_that_came_home_shows(kernel: Kernel) -> None:
    """Also where no cell has drawn here yet,
    so that nobody has told this shell how figures look.
    """
    assert kernel.run(
        "%%mecapy\nimport matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nax.plot([1, 2]);"
    ).ok
    shown = kernel.run("fig")
    assert shown.results and "image/png" in shown.results[0]["data"], shown


def test_names_with_two_underscores_are_the_users(kernel: Kernel) -> None:
    """`__version__` comes home; annotations of variables are added to those of earlier cells."""
    assert kernel.run("a: int = 1\n__version__ = '1'").ok
    assert kernel.run("%%mecapy\nb: float = 2.0\n__author__ = __version__ = '2'").ok
    seen = kernel.value("__version__, __author__, [*__annotations__]")
    assert seen == "('2', '2', ['a', 'b'])"


def test_a_cell_that_looks_names_up_gets_private_ones(kernel: Kernel) -> None:
    """Named, by `globals()`, and as an attribute of `__main__`."""
    assert kernel.run("import __main__\n_cfg = {'n': 1}\n_k = 3").ok
    ran = kernel.run(
        "%%mecapy\nprint(_cfg, globals()['_k'], __main__._k, eval('_cfg') is _cfg)\n_cfg['n'] = 2"
    )
    assert ran.stdout == "{'n': 1} 3 3 True\n", ran.text
    assert kernel.value("_cfg") == "{'n': 2}"


def test_a_command_prints_as_in_a_kernel(kernel: Kernel) -> None:
    """With the ends of lines of a terminal."""
    shown = kernel.run("!echo a"), kernel.run("%%mecapy\n!echo a")
    assert shown[0].stdout == shown[1].stdout == "a\r\n"


def test_the_exit_code_of_a_command(kernel: Kernel) -> None:
    """`!command` leaves it, for the cell's next line and for the next cell."""
    assert kernel.run("%%mecapy\n!false\nprint(_exit_code)").stdout == "1\n"
    assert kernel.value("_exit_code") == "1"
    shown = kernel.run("%%mecapy --progress-after 0\n!false\nx = 1").displays
    assert "x" in shown[-1]["data"]["text/plain"] and not any(
        "_exit_code" in str(each["data"]) for each in shown
    )


IN_ORDER = """import os, subprocess
print("a")
_ = os.system("echo b")
print("c", end="")
print("d")
_ = subprocess.run(["echo", "e"])
_ = os.write(1, b"f\\n")
print("g")"""


@pytest.mark.cell("travels", "The order of prints, of commands and native code too")
def test_prints_and_commands_come_in_order(kernel: Kernel) -> None:
    """What a command writes to the descriptor stands between the prints before and after it."""
    for _ in range(5):
        assert kernel.run(f"%%mecapy\n{IN_ORDER}").stdout == "a\nb\ncd\ne\nf\ng\n"


def test_displays_and_commands_come_in_order(kernel: Kernel) -> None:
    """More of them than a worker reads at once."""
    ran = kernel.run(
        "%%mecapy\nimport os\nfor number in range(150): display(number)\n"
        "_ = os.system('echo between')\ndisplay('last')"
    )
    shown = [kind for kind in ran.order if kind in ("display_data", "stream")]
    assert shown == ["display_data"] * 150 + ["stream", "display_data"], ran.text


WHERE = """import os, subprocess, sys
_ = os.system("pwd")
_ = subprocess.run("pwd >&2; cat $PWD/none", shell=True)
_ = os.write(1, os.getcwd()[:9].encode())
_ = os.write(1, os.getcwd()[9:].encode())
_ = os.write(1, b" /")
print(" end", os.getcwd())"""


def test_commands_name_the_notebooks_folder(kernel: Kernel, folder: Path) -> None:
    """Native code too, in two parts too; what might have become the path keeps its place."""
    ran = kernel.run(f"%%mecapy\n{WHERE}")
    assert ran.stdout == f"{folder}\n{folder} / end {folder}\n", ran
    assert ran.stderr == f"{folder}\ncat: {folder}/none: No such file or directory\n"


def test_no_error_was_there_before(kernel: Kernel) -> None:
    """What a worker has tried for itself is not the cell's last error, to `%debug` or to whoever
    asks.
    """
    ran = kernel.run(
        "%%mecapy\nimport sys\nprint([name for name in vars(sys) if name.startswith('last_')])"
    )
    assert ran.stdout == "[]\n", ran


@pytest.mark.parametrize("ask", ["input('Name? ')", "__import__('getpass').getpass()"])
@pytest.mark.cell("refused", "`input()` and `getpass()`")
def test_a_question_is_refused_in_one_word(kernel: Kernel, ask: str) -> None:
    """What to do instead, and no lines of ours or of getpass."""
    ran = kernel.run(f"%%mecapy\nx = {ask}")
    assert ran.error == "StdinNotImplementedError" and "in a cell of its own" in ran.text
    assert ran.errors[0]["evalue"].startswith("a %%mecapy cell cannot ask for input")
    assert "mecapy_worker" not in ran.text and "getpass.py" not in ran.text


SPENT = """%%mecapy
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
import io
with open("a.txt", "w") as out:
    out.write("x")
with io.StringIO() as text, ThreadPoolExecutor(1) as threads, ProcessPoolExecutor(1) as processes:
    done = threads.submit(len, "abc").result() + processes.submit(len, "ab").result()
import contextlib, multiprocessing, os, sqlite3, zipfile
with zipfile.ZipFile("a.zip", "w") as archive, multiprocessing.Pool(1) as pool:
    archive.writestr("a", "x")
with contextlib.closing(sqlite3.connect(":memory:")) as database:
    database.execute("select 1")
os.remove("a.txt")
os.remove("a.zip")
"""


@pytest.mark.cell("said", "A file that a cell leaves open")
def test_what_a_with_block_leaves_behind_is_not_mentioned(kernel: Kernel) -> None:
    """A closed file and an executor that was shut down are missed by nobody; an open file is named
    as ever.
    """
    ran = kernel.run(SPENT)
    assert ran.ok and ran.stderr == "" and kernel.value("done") == "5", ran
    assert "f did not come home" in kernel.run("%%mecapy\nf = open('b.txt', 'w')").stderr


def test_a_stream_that_was_taken_apart(kernel: Kernel) -> None:
    """It cannot even say whether it is closed. It stays there and is named; all the rest comes
    home.
    """
    ran = kernel.run(
        "%%mecapy\nimport io\ntext = io.TextIOWrapper(io.BytesIO())\nraw = text.detach()\nx = 5"
    )
    assert ran.ok and "text did not come home" in ran.stderr, ran
    assert kernel.value("x") == "5"


@pytest.mark.cell("said", "A variable of `-o` that is not bound")
def test_an_output_that_is_not_there_is_said(kernel: Kernel) -> None:
    """A slip in `-o` is not silent; a glob may match nothing."""
    ran = kernel.run("%%mecapy -o stres,t*,none\nstress = 1")
    assert (
        ran.ok and "'stres'" in ran.stderr and "t*" not in ran.stderr and "none" not in ran.stderr
    )


LINES = {
    "a quote without its other": ("%%mecapy --name 'my run\n1", "close the quote"),
    "and in a command": ("%mecapy logs 'x", "close the quote"),
    "a Future without --bg": ("%%mecapy --as job\n1", "write `--bg --as job`"),
    "a Future that nobody could name": ("%%mecapy --bg --as 3x\n1", "not a variable name"),
    "nor this one": ("%%mecapy --bg --as class\n1", "not a variable name"),
}


@pytest.mark.parametrize(("line", "said"), LINES.values(), ids=LINES)
def test_a_slip_in_the_line_is_one_sentence(kernel: Kernel, line: str, said: str) -> None:
    """What is wrong and what to write instead, and nothing is sent."""
    ran = kernel.run(line)
    assert ran.error == "ConfigError" and said in ran.text and "magic.py" not in ran.text, ran.text


def test_commands_with_nothing_to_do_say_so(kernel: Kernel) -> None:
    """Silence would leave open whether they had understood."""
    assert kernel.run("%%mecapy\nquiet = 1").ok
    assert "has printed nothing" in kernel.run("%mecapy logs").stdout
    assert "nothing to cancel" in kernel.run("%mecapy cancel all").stdout


def test_a_dry_run_has_sizes_and_no_empty_words(kernel: Kernel) -> None:
    """A number of some bytes is not 0.000 MB, and an environment as it was is not mentioned."""
    ran = kernel.run("n = 3")
    ran = kernel.run("%%mecapy --dry-run\nn + 1")
    assert "0.0" not in ran.stdout and "()" not in ran.stdout and " B" in ran.stdout, ran.stdout


def test_doctor_on_an_address_without_a_token(kernel: Kernel) -> None:
    """It says what is wrong with what is configured, and not how the embedded stack is."""
    ran = kernel.run(
        "import os, subprocess, sys\n"
        "bare = {k: v for k, v in os.environ.items() if k != 'MECAPY_TOKEN'} | {'MECAPY_URL': "
        "'http://127.0.0.1:9'}\n"
        "print(subprocess.run([sys.executable, '-m', 'mecapy_jupyter.cli', 'doctor'], env=bare, "
        "capture_output=True, text=True).stdout)"
    )
    assert "there is no token for it" in ran.stdout and "embedded stack" not in ran.stdout, ran


TOLD = {
    "which expressions show": (
        "get_ipython().ast_node_interactivity = {!r}",
        "all",
        "last_expr",
        "1\n2",
    ),
    "precision": ("get_ipython().run_line_magic('precision', {!r})", "3", "", "3.14159265"),
    "pretty printing": (
        "get_ipython().display_formatter.formatters['text/plain'].pprint = {!r}",
        *(False, True, "{'b' * 50: 2, 'a' * 50: 1}"),
    ),
    "long lists": (
        "get_ipython().display_formatter.formatters['text/plain'].max_seq_length = {!r}",
        *(4, 1000, "list(range(9))"),
    ),
}


@pytest.mark.parametrize(("tell", "to", "back", "cell"), TOLD.values(), ids=TOLD)
@pytest.mark.cell("travels", "Settings of the shell (`%precision`)")
def test_what_the_notebook_has_told_its_shell(
    kernel: Kernel, tell: str, to: object, back: object, cell: str
) -> None:
    """A cell shows what it would show here, and again when that is taken back."""
    try:
        for value in (to, back):
            assert kernel.run(tell.format(value)).ok
            here, there = kernel.run(cell), kernel.run(f"%%mecapy\n{cell}")
            assert (
                [shown["data"] for shown in there.results]
                == [shown["data"] for shown in here.results]
                != []
            )
    finally:
        kernel.run(tell.format(back))


def test_precision_and_the_precision_of_arrays(kernel: Kernel) -> None:
    """`%precision` sets NumPy's, too; what the notebook has said to NumPy afterwards holds there as
    here.
    """
    try:
        assert kernel.run(
            "import numpy as np\n%precision 3\nnp.set_printoptions(precision=8)\nthird = "
            "np.array([1 / 3])"
        ).ok
        cell = "third, 1 / 3"
        here, there = kernel.run(cell), kernel.run(f"%%mecapy\n{cell}")
        assert there.results[0]["data"] == here.results[0]["data"]
        assert (
            "0.33333333" in here.results[0]["data"]["text/plain"]
            and "0.333)" in here.results[0]["data"]["text/plain"]
        )
    finally:
        kernel.run("%precision\nnp.set_printoptions(precision=8)")


@pytest.mark.cell("travels", "`from __future__`")
def test_future_imports_hold_in_later_cells(kernel: Kernel) -> None:
    """Those of cells here hold there, and those of cells there hold here: annotations are not
    looked up.
    """
    try:
        assert kernel.run("%%mecapy\nfrom __future__ import annotations").ok
        for cell in ("def f(x: Load): ...", "%%mecapy\ndef g(x: Load): ..."):
            assert kernel.run(cell).ok
    finally:
        kernel.run(
            "import __future__\nget_ipython().compile.flags &= "
            "~__future__.annotations.compiler_flag\ndel annotations"
        )


PICTURE = """
import io, hashlib
import matplotlib.pyplot as plt
def look(figure):
    file = io.BytesIO()
    figure.savefig(file, format="raw", dpi=40)
    return hashlib.md5(file.getvalue()).hexdigest()
def begin():
    figure, axes = plt.subplots(1, 2, sharex=True)
    line, = axes[0].plot([1, 2])
    plt.close(figure)
    return figure, axes, line
fig, (left, right), line = begin()
"""
DRAW = (
    "line.set_color('red')\nright.plot([1, 2, 3], [1, 4, 9], "
    "label='x')\nright.legend()\nright.set_xlim(0, 5);"
)
AFTERWARDS = "fig.set_size_inches(3, 2); left.set_title('t'); look(fig)"


@pytest.mark.cell("travels", "Drawing into earlier figures")
def test_drawing_into_axes_that_were_there(kernel: Kernel) -> None:
    """The figure around them, the other axes and the lines in them stay the same objects, and the
    picture is that of home.
    """
    assert kernel.run(PICTURE).ok
    ran = kernel.run(f"%%mecapy\n{DRAW}")
    assert ran.ok, ran.text
    same = (
        "right.figure is left.figure is fig and fig.axes == [left, right] and left.lines[0] is "
        "line and line.axes is left"
    )
    assert kernel.value(same) == "True"
    there = kernel.run(AFTERWARDS).results[0]["data"]
    assert kernel.run(f"{PICTURE}\n{DRAW}").ok
    assert kernel.run(AFTERWARDS).results[0]["data"] == there
