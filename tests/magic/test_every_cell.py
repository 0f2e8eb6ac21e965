"""`%mecapy on`: every cell goes to a worker until `%mecapy off`, and what only the notebook can do
stays here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from mecapy_jupyter.cells.every_cell import goes

from .conftest import CELL_S, Kernel

WHERE = "import os\nwhere = os.getpid()"


@pytest.fixture
def on(kernel: Kernel) -> Iterator[Kernel]:
    assert "every cell goes to a worker" in kernel.run("%mecapy on --timeout 60").stdout
    yield kernel
    kernel.run("%mecapy off")


def here(kernel: Kernel, expression: str) -> str:
    """A value as the notebook's own kernel has it: asked in silence, as front ends do."""
    reply = kernel.client.execute_interactive(
        "", user_expressions={"v": expression}, silent=True, timeout=CELL_S
    )
    return reply["content"]["user_expressions"]["v"]["data"]["text/plain"]


def test_cells_go_until_off(on: Kernel) -> None:
    """A cell runs elsewhere, its variables are here, its block is shown, its lines count as they
    are written.
    """
    mine = here(on, "__import__('os').getpid()")
    ran = on.run(WHERE)
    assert (
        ran.ok
        and here(on, "where") != mine
        and any("✔" in shown["data"]["text/plain"] for shown in ran.displays)
    )
    ran = on.run("a = 1\nb = 2\n1 / 0")
    assert (
        ran.error == "ZeroDivisionError"
        and "----> 3" in re.sub(r"\x1b\[\d+m", "", ran.text)
        and "mecapy" not in ran.text
    )
    ran = on.run("a = 1\nnot_there")
    assert ran.error == "NameError" and "----> 2" in re.sub(r"\x1b\[\d+m", "", ran.text)
    assert on.run("a = = 1").error == "SyntaxError"
    assert on.run("a + b").results[0]["data"]["text/plain"] == "3"
    assert "on: every cell" in on.run("%mecapy").stdout
    assert on.run("%mecapy off").ok and on.run(WHERE).ok
    assert here(on, "where") == mine


def test_timing_cells_go_along(on: Kernel) -> None:
    """`%%time` means the same there; a magic inside it does not send it twice; a shell command
    stays.
    """
    mine = here(on, "__import__('os').getpid()")
    ran = on.run(f"%%time\n{WHERE}")
    assert "Wall time" in ran.stdout and here(on, "where") != mine
    assert on.run("%precision 4\nimport os\nwhere = os.getpid()").ok and here(on, "where") == mine
    assert on.run("pid = !echo $PPID").ok and here(on, "pid[0]").strip("'") == mine


def test_on_again_changes_the_options(on: Kernel) -> None:
    """A wrong option is refused and nothing changes; off twice is no error."""
    assert on.run("%mecapy on --nonsense").error == "ConfigError"
    assert on.run("%mecapy on --quiet").ok
    ran = on.run("x = 1")
    assert ran.ok and not ran.displays and here(on, "x") == "1"
    assert on.run("%mecapy off").ok and "not on" in on.run("%mecapy off").stdout


STAY = [
    "%matplotlib inline\nx = 1",
    "!ls",
    "x = !ls",
    "x = %who_ls",
    "%%bash\nls",
    "%%html\n<b>",
    "%%mecapy\nx = 1",
    "len?",
    "?len",
    "# only",
    "",
]
GO = [
    "x = 1",
    "x = 5 % 3",
    "a %\\\n b",
    "%%time\nx = 1",
    "%time x = 1",
    "# text\n%%time\nx",
    "x = y != z",
    "print('what?')",
    "y = a if b else c",
]


@pytest.mark.parametrize(
    ("cell", "away"), [*((cell, False) for cell in STAY), *((cell, True) for cell in GO)]
)
def test_which_cells_go(cell: str, away: bool) -> None:
    """Line magics, shell commands, help and other languages stay; Python goes, timed or not."""
    assert goes(cell.splitlines(keepends=True)) == away
