"""Capture against the truth: random small programs run in a namespace that records what they do
with it.
"""

from __future__ import annotations

import contextlib
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mecapy_jupyter.capture.names import analyse

NAMES = ("a", "b", "c", "d")
FUNCTIONS = ("f", "g")


class Recorder(dict[str, Any]):
    """A namespace that notes which of its first values were looked up."""

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__(values)
        self.first = dict(values)
        self.needed: set[str] = set()

    def __getitem__(self, name: str) -> Any:
        value = super().__getitem__(name)
        if name in self.first and value is self.first[name]:
            self.needed.add(name)
        return value

    def changed(self) -> tuple[set[str], set[str]]:
        """Names bound to something else than at first, and names gone."""
        bound = {
            name
            for name in self
            if name not in self.first or dict.__getitem__(self, name) is not self.first[name]
        }
        return bound - {"__builtins__"}, set(self.first) - set(self)


name = st.sampled_from(NAMES)
function = st.sampled_from(FUNCTIONS)
expression = st.recursive(
    st.one_of(name, st.just("1"), function.map("{}()".format)),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda p: f"({p[0]} + {p[1]})"),
        st.tuples(inner, inner, inner).map(lambda p: f"({p[0]} if {p[1]} % 2 else {p[2]})"),
        st.tuples(inner, inner).map(lambda p: f"({p[0]} and {p[1]})"),
        st.tuples(name, inner).map(lambda p: f"({p[0]} := {p[1]})"),
        st.tuples(inner, name, inner).map(
            lambda p: f"sum([{p[0]} for {p[1]} in range({p[2]} % 3)])"
        ),
        st.tuples(inner, inner).map(lambda p: f"(lambda v: v + {p[0]})({p[1]})"),
    ),
    max_leaves=4,
)


def _indent(block: str) -> str:
    return "\n".join("    " + line for line in block.splitlines())


def _compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    body = inner.map(_indent)
    return st.one_of(
        st.tuples(inner, inner).map("\n".join),
        st.tuples(expression, body).map(lambda p: f"if {p[0]} % 2:\n{p[1]}"),
        st.tuples(expression, body, body).map(lambda p: f"if {p[0]} % 2:\n{p[1]}\nelse:\n{p[2]}"),
        st.tuples(name, expression, body).map(
            lambda p: f"for {p[0]} in range({p[1]} % 3):\n{p[2]}"
        ),
        st.tuples(name, body, body).map(
            lambda p: f"for {p[0]} in range(2):\n{p[1]}\n    break\nelse:\n{p[2]}"
        ),
        st.tuples(body, body).map(lambda p: f"try:\n{p[0]}\nexcept NameError:\n{p[1]}"),
        st.tuples(body, name, body).map(
            lambda p: f"try:\n{p[0]}\nexcept NameError as {p[1]}:\n{p[2]}"
        ),
        st.tuples(body, body).map(lambda p: f"try:\n{p[0]}\nfinally:\n{p[1]}"),
        st.tuples(body).map(lambda p: f"with suppress(NameError):\n{p[0]}"),
        st.tuples(expression, body.map(_indent), name).map(
            lambda p: f"match {p[0]} % 3:\n    case 0:\n{p[1]}\n    case {p[2]}: pass"
        ),
        st.tuples(function, expression).map(lambda p: f"def {p[0]}():\n    return {p[1]}"),
        st.tuples(function, name, expression).map(
            lambda p: f"def {p[0]}():\n    global {p[1]}\n    {p[1]} = {p[2]}\n    return 1"
        ),
        st.tuples(name, expression).map(lambda p: f"class A:\n    {p[0]} = {p[1]}\n    e = {p[0]}"),
    )


def _compiles(program: str) -> bool:
    try:
        compile(program, "<cell>", "exec", dont_inherit=True)
    except SyntaxError:
        return False
    return True


simple = st.one_of(
    st.tuples(name, expression).map(" = ".join),
    st.tuples(name, expression).map(" += ".join),
    st.tuples(name, expression).map(lambda p: f"{p[0]}: int = {p[1]}"),
    name.map("del {}".format),
    expression,
)
programs = st.recursive(simple, _compound, max_leaves=8).filter(_compiles)


def run(program: str, without: str = "") -> tuple[Recorder, Exception | None]:
    values: dict[str, Any] = {
        name: 1000 + number for number, name in enumerate(NAMES)
    }  # no small ints: they are shared
    values |= {"f": lambda: 1, "g": lambda: 2, "suppress": contextlib.suppress}
    values.pop(without, None)
    recorder = Recorder(values)
    try:
        exec(compile(program, "<cell>", "exec", dont_inherit=True), recorder)
    except (NameError, TypeError, RecursionError) as failure:
        return recorder, failure
    return recorder, None


# What Python itself binds for a variable with a type: until 3.13, from 3.14 on.
_ANNOTATIONS = {"__annotations__", "__annotate__", "__conditional_annotations__"}


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(programs)
def test_capture_misses_nothing(program: str) -> None:
    """Whatever a program looked up, bound or deleted when it ran is among what
    capture said it may.
    """
    names = analyse(program)
    recorder, _ = run(program)
    bound, gone = recorder.changed()
    assert recorder.needed <= names.reads
    assert bound - _ANNOTATIONS <= names.binds
    assert gone <= names.deletes


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(programs)
def test_what_is_surely_read_fails_without_it(program: str) -> None:
    """A program that surely reads a name raises when the notebook does not have
    it: no false alarm.
    """
    for name in analyse(program).surely:
        if name in NAMES:
            _, failure = run(program, without=name)
            assert failure is not None, f"surely reads {name}"


straight = st.lists(
    st.tuples(name, name, name).map(lambda p: f"{p[0]} = {p[1]} + {p[2]}"), min_size=1, max_size=8
).map("\n".join)


@settings(
    max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck)
)
@given(straight)
def test_without_branches_capture_is_exact(program: str) -> None:
    """Of a program that runs straight through, capture names exactly what it read, all of it for
    certain.
    """
    names = analyse(program)
    recorder, _ = run(program)
    assert names.reads == recorder.needed == set(names.surely)
    assert names.binds == recorder.changed()[0]
