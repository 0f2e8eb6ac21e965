"""The comparison itself: what it marks, what it normalises, and that it sees a difference."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from mecapy_jupyter.block.line import html, line
from mecapy_jupyter.block.state import BlockState

from .compare import Gave, compare, differences, files_named, gave, may_be_marked, normal, table

# A magic as a careless author would write it: it runs the cell in a namespace of its own.
LOSES_VARIABLES = """
from IPython import get_ipython
get_ipython().register_magic_function(lambda line, cell: exec(cell, {}), "cell", "mecapy")
"""


@pytest.mark.parametrize(
    ("source", "marked"),
    [
        ("x = 1", True),
        ("%matplotlib inline\nimport numpy as np", True),
        ("files = !ls", True),
        ("# a comment\n%load_ext mecapy_jupyter\n", False),
        ("%matplotlib inline\n%config InlineBackend.figure_formats = ['svg']", False),
        ("!pip install numpy", False),
        ("%%html\n<b>bold</b>", False),
        ("\n%%timeit\nx = 1", False),
        ("np.sin?", False),
        ("# only a comment", False),
        ("", False),
    ],
)
def test_what_is_marked(source: str, marked: bool) -> None:
    """Cells of Python are marked; other cell magics, line magics alone, and empty cells are not."""
    assert may_be_marked(source) is marked


@pytest.mark.parametrize(
    ("here", "there"),
    [
        ("<object at 0x7f1c2a3b4d50>", "<object at 0x7fffdeadbeef>"),
        (
            "CPU times: user 3 ms, sys: 0 ns\nWall time: 3.1 ms",
            "CPU times: user 40 ms, sys: 1 ns\nWall time: 41 ms",
        ),
        ("done in 1.25 s", "done in 0.9 s"),
        ("\x1b[31mred\x1b[0m", "red"),
        (
            "1 ms ± 2 μs per loop (mean ± std. dev. of 7 runs, 1,000 loops each)",
            "3 ms ± 9 μs per loop (mean ± std. dev. of 7 runs, 1 loop each)",
        ),
    ],
)
def test_what_may_differ(here: str, there: str) -> None:
    """Addresses, timings and colours are no difference."""
    assert normal(here) == normal(there)


@pytest.mark.parametrize(
    ("other", "word"),
    [
        (Gave("1\n3", ("a",), 1), "stdout: '2' ≠ '3'"),
        (Gave("1", ("a",), 1), "stdout: only here: '2'"),
        (Gave("1\n2", ("b",), 1), "results: 'a' ≠ 'b'"),
        (Gave("1\n2", (), 1), "results: only here: 'a'"),
        (Gave("1\n2", ("a",), 2), "pictures: 1 ≠ 2"),
        (Gave("1\n2", ("a",), 1, "KeyError"), "error: none ≠ KeyError"),
    ],
)
def test_what_must_not_differ(other: Gave, word: str) -> None:
    """Each compared part is seen when it differs, and named with its first difference."""
    same = Gave("1\n2", ("a",), 1)
    assert differences(same, same) == ()
    assert differences(same, other) == (word,)


def test_files_that_a_cell_names_go_along(tmp_path: Path) -> None:
    """A string that names a file beside the notebook is an option of the mark; others are not."""
    (tmp_path / "load.csv").touch()
    assert (
        files_named("read('load.csv'); read('lost.csv'); print('a, b')", tmp_path)
        == " --files load.csv"
    )
    assert files_named("x = 1", tmp_path) == ""


def test_live_block_is_not_compared() -> None:
    """The line under a long cell is MecaPy's, not the cell's; an HTML result is the cell's."""
    state = BlockState(name="sweep", phase="completed", seconds=3.0)
    block = nbformat.v4.new_output(
        "display_data", {"text/plain": line(state, 0), "text/html": html(state, 0)}
    )
    frame = nbformat.v4.new_output(
        "display_data", {"text/plain": "   a\n0  1", "text/html": "<table></table>"}
    )
    assert gave([block]) == Gave()
    assert gave([frame]).results == ("   a\n0  1 [text/html]",)


async def test_sees_a_magic_that_loses_variables(tmp_path: Path) -> None:
    """With a magic that keeps the cell's variables to itself, the cells that need them are
    reported, and only those.
    """
    sources = ["x = 41", "print('hello')", "x + 1", "%%html\n<b>stays</b>"]
    path = tmp_path / "notebook.ipynb"
    nbformat.write(
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources]),
        path,
    )
    rows = await compare(path, setup=LOSES_VARIABLES)
    assert [bool(row.differences) for row in rows] == [False, False, True, False]
    assert rows[2].differences[0] == "error: none ≠ NameError"
    assert "2 of 3 marked cells agree (66.7 %)" in table(rows)
