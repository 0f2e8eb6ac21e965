"""Exceptions of a cell come home as they were raised, also those with parts that cannot travel."""

from __future__ import annotations

from .conftest import Kernel
from .test_errors import strip


def test_an_exception_class_of_the_notebook(kernel: Kernel) -> None:
    """It can be caught here by its class, and its traceback has the line as without `%%mecapy`."""
    kernel.run(
        "class Overload(Exception):\n    def __init__(self, load): self.load = load; "
        "super().__init__(f'load {load}')"
    )
    kernel.run("def check(load):\n    if load > 3:\n        raise Overload(load)")
    ran = kernel.run("""
from IPython import get_ipython
import traceback
try:
    get_ipython().run_cell_magic("mecapy", "", "ok = 1\\ncheck(5)\\n")
except Overload as error:
    print(error.load, [frame.lineno for frame in traceback.extract_tb(error.__traceback__)][-2:])
""")
    assert ran.ok, ran.text
    assert ran.stdout.strip() == "5 [2, 3]"


def test_an_exception_with_its_own_pickling(kernel: Kernel) -> None:
    """Its `args` are those that it had, which its `__reduce__` would make others."""
    kernel.run(
        "class Overload(Exception):\n"
        "    def __init__(self, load, limit=1): self.load = load\n"
        "    def __reduce__(self): return Overload, (self.load,)"
    )
    ran = kernel.run("%%mecapy\nmade = Overload(5, 2)\nmade.args += ('at x=3',)\nraise made")
    assert ran.errors[0]["evalue"] == "(5, 2, 'at x=3')", ran
    assert kernel.value("made.args, made.load") == "((5, 2, 'at x=3'), 5)"
    assert kernel.run("%%mecapy\nthere = made.args").ok
    assert kernel.value("there") == "(5, 2, 'at x=3')"


def test_an_exception_group_of_the_cell(kernel: Kernel) -> None:
    """It is shown as a group, without the machinery, and is the last value; the errors after it are
    shown as themselves.
    """
    ran = kernel.run("%%mecapy\nraise ExceptionGroup('many', [ValueError(1), KeyError('k')])")
    assert (
        "2 sub-exceptions" in ran.stderr
        and "KeyError" in ran.stderr
        and "mecapy_jupyter" not in ran.stderr
        and not ran.stderr.endswith("\n\n")
    )
    assert kernel.value("__import__('sys').last_value.message") == "'many'"
    inside = (
        "get_ipython().run_cell_magic('mecapy', '', 'raise ExceptionGroup(str(), [ValueError(1)])')"
    )
    assert kernel.run(
        f"try:\n    {inside}\nexcept* ValueError as group:\n    found = group.exceptions"
    ).ok
    assert kernel.value("found") == "(ValueError(1),)"
    assert kernel.run("1 / 0").error == "ZeroDivisionError"


def test_an_exception_with_arguments_of_its_own(kernel: Kernel) -> None:
    """Its class, attributes and message come home, without what cannot travel in it; so does what
    the cell bound before.
    """
    kernel.run(
        "class E(Exception):\n    def __init__(self, a, *, b): super().__init__(f'{a}-{b}'); "
        "self.a = a"
    )
    ran = kernel.run(
        "%%mecapy\nimport threading\nz = 1\ne = E(1, b=2)\ne.lock = threading.Lock()\nraise e"
    )
    assert (
        ran.error,
        kernel.value(
            "(type(__import__('sys').last_value) is E, __import__('sys').last_value.a, z)"
        ),
    ) == (
        "E",
        "(True, 1, 1)",
    )


def test_a_recursion_without_end(kernel: Kernel) -> None:
    """It is a RecursionError here, too."""
    assert kernel.run("%%mecapy\ndef f(n): return f(n + 1)\nf(0)").error == "RecursionError"


def test_sys_exit(kernel: Kernel) -> None:
    """As at home: SystemExit in one line, and IPython's advice once."""
    not_said_yet = "IPython.core.interactiveshell.__dict__.pop('__warningregistry__', None)"
    kernel.run(f"import IPython; {not_said_yet}")
    here = kernel.run("import sys; sys.exit(2)")
    kernel.run(not_said_yet)
    there = kernel.run("%%mecapy\nimport sys; sys.exit(2)")
    assert (there.error, there.stderr.count("To exit: use")) == (
        here.error,
        here.stderr.count("To exit: use"),
    ), there.stderr


UNTOLD = """
class MeshError(Exception):
    def __str__(self):
        return f"overlap in {self.mesh.name}"

def failing():
    class Mesh:
        name = "wing"
        lines = (n for n in "abc")
        def __reduce_ex__(self, _):
            raise TypeError("stays")
    error = MeshError()
    error.mesh = Mesh()
    raise error
"""


def test_an_error_whose_text_needs_what_cannot_travel(kernel: Kernel) -> None:
    """It is shown with the text it had, and the Future of a background cell ends with it."""
    assert kernel.run(UNTOLD).ok
    ran = kernel.run("%%mecapy\nfailing()")
    assert "MeshError: overlap in wing" in strip(ran.text) and "---->" in strip(ran.text)
    assert kernel.run("%%mecapy --bg --as job\nfailing()").ok
    ran = kernel.run("job.result(240)")
    assert ran.error == "CellError" and "MeshError: overlap in wing" in strip(ran.text)
