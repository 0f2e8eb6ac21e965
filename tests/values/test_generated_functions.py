"""Functions whose text a library has generated, as `sympy.lambdify` does."""

from __future__ import annotations

import inspect
import linecache

from .notebook import Notebook

GENERATED = """
import linecache
def generated(text, name='<generated-1>'):
    linecache.cache[name] = len(text), None, text.splitlines(True), name
    exec(compile(text, name, 'exec'), globals())
    return globals().pop('function')
"""
TWICE, THRICE = (f"def function(x):\n    return {factor} * x\n" for factor in (2, 3))


def test_it_comes_home_with_its_text() -> None:
    """Each process counts its own: what another function here has under the same name stays."""
    notebook = Notebook()
    notebook.local(f"{GENERATED}\nhere = generated({TWICE!r})")
    notebook.remote(f"{GENERATED}\nthere = generated({THRICE!r})\nheld = [there]")
    here, there = notebook.ns["here"], notebook.ns["there"]
    assert inspect.getsource(here) == TWICE and here(1) == 2
    assert inspect.getsource(there) == THRICE and there(1) == 3 and notebook.ns["held"][0] is there
    notebook.local(f"later = generated({TWICE!r})")
    assert inspect.getsource(there) == THRICE


def test_another_trip_gives_it_no_other_name() -> None:
    notebook = Notebook()
    notebook.remote(f"{GENERATED}\nthere = generated({THRICE!r})")
    name = notebook.ns["there"].__code__.co_filename
    assert name.startswith("<generated-1 ") and linecache.getlines(name)
    notebook.remote("again, there = there, 0", "there")
    assert notebook.ns["again"].__code__.co_filename == name
