"""Tables of cells: what each reads, binds and deletes. Builtins are left out of the expectation;
`known` is the notebook.
"""

from __future__ import annotations
import __future__

import builtins
import re
import sys
import time
import warnings
from typing import Any

import pytest

from mecapy_jupyter.capture.code_in_strings import without_warnings
from mecapy_jupyter.capture.names import Names, analyse

from .cells import CELLS

KNOWN = frozenset(
    re.findall(r"\S+", "a b c d data df e f g K mask mesh n np p plt q r s t threshold u v w x y z")
)


def reads(names: Names) -> set[str]:
    return {name for name in names.reads if not hasattr(builtins, name)}


@pytest.mark.parametrize(
    ("cell", "expected_reads", "expected_binds"), CELLS, ids=[cell for cell, _, _ in CELLS]
)
def test_a_cell_reads_and_binds_these_names(
    cell: str, expected_reads: str, expected_binds: str
) -> None:
    """Capture finds exactly the names a person would list for this cell."""
    names = analyse(cell, KNOWN)
    assert (reads(names), set(names.binds)) == (
        set(expected_reads.split()),
        set(expected_binds.split()),
    )


@pytest.mark.parametrize(
    ("cell", "dynamic", "unseen"),
    [
        ("x = 1", False, False),
        ("eval(s)", True, True),
        ("exec(s)", True, True),
        ("list(map(eval, s))", True, True),
        ("globals().update(x)", True, True),
        ("print(locals())", True, True),
        ("def f(v):\n    return locals()", False, False),
        ("def f(v):\n    return globals()", True, True),
        ("vars(x)", False, False),
        ("get_ipython().user_ns['x']", True, True),
        ("get_ipython().run_line_magic('who', '')", True, True),
        ("get_ipython().run_line_magic('run', '-i s.py')", True, True),
        ("get_ipython().run_line_magic('pylab', 'inline')", False, True),
        ("get_ipython().run_line_magic('load_ext', 'autoreload')", False, True),
        ("get_ipython().run_line_magic('time', 'f(x)')", False, False),
        ("get_ipython().run_line_magic(name, '')", True, True),
        ("import __main__\n__main__.x", True, True),
        ("'x' in globals()", False, False),
        ("globals()['x'] = 1", False, True),
        ("dir = 'out'\nprint(dir)", False, False),
        ("import inspect\ninspect.stack()", True, True),
        ("import numpy\nnumpy.stack(x)", False, False),
        ("[eval(v) for v in x]", True, True),
        ("df.eval('c = a + b')", False, False),
        ("import unittest\nunittest.main(argv=[''], exit=False)", True, True),
        ("import doctest\ndoctest.testmod()", True, True),
        ("x = __import__('__main__')", True, True),
        ("import sys\nsys.modules[__name__]", True, True),
        ("def go():\n    import unittest\n    unittest.main()", True, True),
        ("if __name__ == '__main__':\n    main()", False, False),
        ("import logging\nlogging.getLogger(__name__)", False, False),
    ],
)
def test_a_cell_that_may_use_any_name_says_so(cell: str, dynamic: bool, unseen: bool) -> None:
    """`dynamic` means any name may be read, `unseen` that any may be bound; ordinary cells are
    neither.
    """
    names = analyse(cell, KNOWN)
    assert (names.dynamic, names.unseen) == (dynamic, unseen)


def test_imports_are_found_wherever_they_stand() -> None:
    """Every module that anything in the cell may import is named, submodules that `from` may mean
    included.
    """
    names = analyse(
        "import a.b\nfrom c import d\ndef f():\n    import e\n    class X:\n        from g.h "
        "import i\nfrom s import *"
    )
    assert names.imports == {"a.b", "c", "c.d", "e", "g.h", "g.h.i", "s"}
    assert names.stars == {"s"}


def test_annotations_are_not_read_under_the_future_import() -> None:
    """The compiler flags of an earlier `from __future__ import annotations` hold
    for this cell too.
    """
    assert "Undefined" in analyse("x: Undefined = 1").reads or sys.version_info >= (3, 14)
    assert (
        "Undefined"
        not in analyse("x: Undefined = 1", flags=__future__.annotations.compiler_flag).reads
    )


def test_a_cell_that_does_not_parse_is_a_syntax_error() -> None:
    """Nothing is guessed about code that is not Python."""
    with pytest.raises(SyntaxError):
        analyse("x = = 1")


def test_a_long_cell_is_read_in_milliseconds() -> None:
    """Thirty lines cost about a millisecond of CPU;
    the bound here leaves room for a slow machine.
    """
    cell = "\n".join(
        f"u{i} = np.sin(k * {i}) + offset\nax.plot(u{i}, label='s')\nprint(f'{{u{i}:.3f}}')"
        for i in range(10)
    )

    def took_s() -> float:
        start = time.process_time()
        analyse(cell)
        return time.process_time() - start

    assert min(took_s() for _ in range(10)) < 0.02


def test_future_import_in_the_middle() -> None:
    """IPython compiles each statement alone, so `from __future__` may stand anywhere; an unknown
    one is still wrong.
    """
    names = analyse("import math\nfrom __future__ import division\ny = math.pi / x")
    assert "x" in names.reads and "y" in names.binds
    with pytest.raises(SyntaxError, match="not defined"):
        analyse("x = 1\nfrom __future__ import nothing")


def test_what_python_has_warned_of_stays_so() -> None:
    """It warns once for each place, also after a cell was read."""
    seen_here: dict[Any, Any] = {}
    with pytest.warns(UserWarning) as seen:
        warnings.simplefilter("default")
        for cell in ("1", r"'\d' 'a cell of this test'", "2"):
            warnings.warn_explicit("said", UserWarning, "f", 1, registry=seen_here)
            analyse(cell)
            with without_warnings():
                compile(r"'\d'", "f", "eval")
    assert len(seen) == 1
