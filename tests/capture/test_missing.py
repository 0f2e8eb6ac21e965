"""When a NameError is certain before anything is sent; and all the cells where it is not."""

from __future__ import annotations

import sys
import textwrap
import types
from typing import Any

import pytest

from mecapy_jupyter.capture.names import analyse
from mecapy_jupyter.capture.notebook_code import looks_up, missing

# The notebook these cells run in.
NOTEBOOK = """
import functools, sys
x, y, n = 1, 2, 3
def plain(v): return v + x
def setup():
    global made
    made = 1
def stop(): raise ValueError
def calls_setup(): setup()
def opens(): exec("made = 1")
class Model:
    def run(self): setup()
class Calm:
    def run(self): return x
class Tool:
    def __init__(self): self.run = library.install
def uses_library(): return library.install()
model, calm, later = Model(), Calm(), functools.partial(setup)
hooks, tool = [library.install], Tool()
"""
LIBRARY = """
import sys
def install(*_): sys._getframe(1).f_globals['lost'] = 1
class Base: pass
"""


@pytest.fixture
def notebook() -> dict[str, Any]:
    library = types.ModuleType("library")
    exec(LIBRARY, library.__dict__)
    space: dict[str, Any] = {"__name__": "__main__", "library": library}
    exec(NOTEBOOK, space)
    return space


@pytest.mark.parametrize(
    ("cell", "line", "column"),
    [
        ("lost", 1, 0),
        ("y = lost + 1", 1, 4),
        ("z = 1\nprint(z, lost)", 2, 9),
        ("import math\nmath.sin(lost)", 2, 9),
        ("print(late)\nlate = 1", 1, 6),
        ("for i in range(n):\n    pass\nlost", 3, 0),
        ("for i in lost:\n    pass", 1, 9),
        ("if lost:\n    pass", 1, 3),
        ("with open(lost) as f:\n    pass", 1, 10),
        ("try:\n    plain(1)\nexcept ValueError:\n    pass\nlost", 5, 0),
        ("if x:\n    lost\nelse:\n    print(lost)", 2, 4),
        ("@lost\ndef f(): pass", 1, 1),
        ("def f(v=lost): pass", 1, 8),
        ("class A(lost): pass", 1, 8),
        ("lost += 1", 1, 0),
        ("del lost", 1, 4),
        ("lost[0] = 1", 1, 0),
        ("[v for v in lost]", 1, 12),
        ("f'é{lost}'", 1, 4),
        ("await lost", 1, 6),
        ("plain(x)\nlost", 2, 0),
        ("calm.run()\nlost", 2, 0),
        ("def f():\n    return 1\nf()\nlost", 4, 0),
        ("match lost:\n    case _: pass", 1, 6),
        ("library.run(lost)", 1, 12),
        ("import math\nmath.sqrt(n)\nlost", 3, 0),
        ("while True:\n    lost\n    break", 2, 4),
        ("lost if x else y + lost", 1, 0),
        ("get_ipython().run_line_magic('time', 'lost')", 1, 0),
    ],
)
@pytest.mark.cell("refused", "Undefined names")
def test_a_certain_name_error_is_found(
    notebook: dict[str, Any], cell: str, line: int, column: int
) -> None:
    """The first name surely read that exists nowhere is reported,
    with the place where it stands.
    """
    found = missing(analyse(cell, notebook), notebook)
    assert found is not None and found[0] in ("lost", "late")
    assert (
        found[1:] == (line, column) or "é" in cell
    )  # before 3.12 an f-string has no places inside


@pytest.mark.parametrize(
    "cell",
    [
        "x + y",
        "print(len([]), __name__, __file__, _, __, _3, _i, In, Out)",
        "display(x); get_ipython()",
        "try:\n    lost\nexcept NameError:\n    pass",
        "try:\n    lost\nfinally:\n    pass",
        "from contextlib import suppress\nwith suppress(NameError):\n    lost",
        "if x:\n    lost",
        "if 'lost' in globals():\n    lost",
        "x and lost",
        "lost if x else y",
        "for i in range(n):\n    lost",
        "while x:\n    lost",
        "[lost for i in range(n)]",
        "def f():\n    return lost",
        "lambda: lost",
        "class A:\n    def f(self): return lost",
        "from pylab import *\nlost",
        "get_ipython().run_line_magic('pylab', '')\nlost",
        "get_ipython().run_line_magic('run', 's.py')\nlost",
        "get_ipython().run_line_magic('time', 'lost = 1')\nlost",
        "get_ipython().run_cell_magic('capture', 'lost', 'x')\nlost",
        "get_ipython().system('echo $lost {lost}')",
        "exec('lost = 1')\nlost",
        "exec(x)\nlost",
        "globals()['lost'] = 1\nlost",
        "globals().update(lost=1)\nlost",
        "import sympy\nsympy.var('lost')\nlost",
        "import builtins\nbuiltins.lost = 1\nlost",
        "import sys\nsetattr(sys.modules['__main__'], 'lost', 1)\nlost",
        "import no_such_module_here\nlost",
        "from no_such_module_here import lost2\nlost",
        "raise ValueError(lost) if 0 else ValueError",
        "raise ValueError\nlost",
        "assert x > 3, lost",
        "import sys\nsys.exit()\nlost",
        "exit()\nlost",
        "1 / 0\nlost",
        "setup()\nmade",
        "calls_setup()\nmade",
        "later()\nmade",
        "model.run()\nmade",
        "opens()\nmade",
        "stop()\nlost",
        "def f():\n    global lost\n    lost = 1\nf()\nlost",
        "def f():\n    raise ValueError\nf()\nlost",
        "def f():\n    exec('lost = 1', globals())\nf()\nlost",
        "(lost := 1)\nlost",
        "[lost := i for i in range(n)]\nlost",
        "if (lost := x):\n    lost",
        "for lost in range(n): pass\nlost",
        "with open('f') as lost:\n    lost",
        "import os.path as lost\nlost",
        "match x:\n    case lost: lost",
        "lost: int",
        "while True:\n    pass\nlost",
        "if x:\n    while True: pass\nelse:\n    lost",
        "if x:\n    while True:\n        try:\n            plain(1)\n        except ValueError:\n "
        "           pass\nelse:\n    lost",
        "async def f():\n    await lost",
        "x.__class__; __builtins__",
        # a library may put names into the notebook: into its globals, into builtins, by a frame
        "library.install()\nlost",
        "hooks[0]()\nlost",
        "tool.run()\nlost",
        "with library.names():\n    pass\nlost",
        "for each in library.names(): pass\nlost",
        "@library.register\ndef f(): pass\nlost",
        "class A(library.Base): pass\nlost",
        "install = library.install\ninstall()\nlost",
        "def f(): library.install()\nf()\nlost",
        "from library import install as go\ngo()\nlost",
        "uses_library()\nlost",
        "import no_such_module_here.sub\nlost",
        "from math import no_such_name\nlost",
        "[f() for f in hooks]\nlost",
        "sorted(hooks, key=library.install)\nlost",
        "__import__('library')\nlost",
        "breakpoint()\nlost",
        # only annotations use it: read later, or never
        "def f(v: lost) -> lost: pass",
        "v: lost = 1",
        "class A:\n    v: lost = 1",
        "from __future__ import annotations\ndef f(v: lost): w: lost\nf(1)",
        "def f():\n    v: lost = 1\nf()",
        "type Alias = lost" if sys.version_info >= (3, 12) else "x",
        "class A[lost](list[lost]): pass" if sys.version_info >= (3, 12) else "x",
        "def f[lost](v: lost) -> lost: pass" if sys.version_info >= (3, 12) else "x",
    ],
)
def test_no_alarm_where_a_name_error_is_not_certain(notebook: dict[str, Any], cell: str) -> None:
    """A cell that might run, or fail otherwise, is never stopped."""
    assert missing(analyse(textwrap.dedent(cell), notebook), notebook) is None


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("opens()", True),
        ("calls_opens()", True),
        ("Shows('x')", True),
        ("plain(x)", False),
        ("model.run()", False),
        ("x", False),
    ],
)
def test_functions_that_may_read_any_name(
    notebook: dict[str, Any], cell: str, expected: bool
) -> None:
    """eval in a function of the notebook, called directly or not, may read names that the cell
    nowhere mentions.
    """
    exec(
        "def calls_opens(): opens()\nclass Shows:\n    def __init__(self, name): self.value = "
        "eval(name)",
        notebook,
    )
    assert looks_up(analyse(cell, notebook), notebook) is expected
