"""The key of a whole task: what changes it, what does not, and what has none."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from mecapy_jupyter.capture import packing
from mecapy_jupyter.content_key import NoContentKey, TaskContent, TaskKey, task_key


def key_of(
    code: str = "y = x + 1", there: Mapping[str, str] | None = None, **values: Any
) -> TaskKey:
    packed = packing.pack(values, vars(sys.modules["__main__"]), (), ["numpy"])
    return task_key(TaskContent(code, values, packed.memo, packed.prelude, ["numpy"], there))


def test_layout_does_not_count():
    """Comments, blank lines, spaces; a constant on the last line does, and a semicolon."""
    assert key_of("y = x + 1", x=1) == key_of("y  =  x+1  # why\n\n", x=1)
    assert len({key_of(code).base for code in ("3", "4", "3;", "x = 3")}) == 4


def test_versions_count(monkeypatch: pytest.MonkeyPatch):
    """The versions of packages on the workers, of Python and of MecaPy count."""
    code = "import numpy\ny = x"
    keys = {key_of(code, {"numpy": version}, x=1).base for version in ("2.1.0", "2.2.0")}
    monkeypatch.setattr("mecapy_jupyter.shared.version.minor", lambda: "3.99")
    keys.add(key_of(code, {"numpy": "2.1.0"}, x=1).base)
    monkeypatch.setattr("mecapy_jupyter.shared.version.__version__", "99")
    keys.add(key_of(code, {"numpy": "2.1.0"}, x=1).base)
    assert len(keys) == 4


def test_random_state_counts_in_the_second_key_alone():
    """So a run that has not read it is found from any state."""
    np.random.seed(1)
    first = key_of(x=1)
    np.random.seed(2)
    second = key_of(x=1)
    assert first.base == second.base and first.seeded != second.seeded


def test_one_object_or_two_equal_ones():
    """A result names inputs by number, so it fits only inputs that are shared alike."""
    one, base = [1], np.zeros(8)
    assert key_of(x=one, y=one).base != key_of(x=[1], y=[1]).base
    views = [base[1:3], base[2:4], base[1:3].copy()]
    assert len({key_of(x=base, y=view).base for view in views}) == 3


@pytest.mark.parametrize(
    "code", ["t = datetime.now()", "t = pd.Timestamp('now')", "p.stat().st_mtime"]
)
def test_code_that_reads_the_clock_has_none(code: str):
    """Where Python does not report it, its name is enough."""
    with pytest.raises(NoContentKey, match="clock"):
        key_of(code)
