"""What those get who send JSON: a result that JSON can hold, whatever the cell ends with."""

from __future__ import annotations

from mecapy_worker.run.consumer import Consumer

from .conftest import Desk

SHOWN = {
    "import numpy as np; {'a': np.array([1, np.nan]), 'n': 1, 'o': len}": {
        "a": [1.0, {"repr": "nan"}],
        "n": 1,
        "o": {"repr": "<built-in function len>"},
    },
    "import pandas as pd; pd.DataFrame({'a': [1.0, None]}, index=['r', 's'])": {
        "a": {"r": 1.0, "s": {"repr": "nan"}}
    },
    "class A:\n    def __repr__(self): 1 / 0\na = A()": {
        "a": {"repr": "<A: its repr raises ZeroDivisionError>"}
    },
    "n = 10 ** 10_000": {"n": {"repr": "<int: its repr raises ValueError>"}},
    "class L(list):\n    def __iter__(self): 1 / 0\nx = L([1])": {"x": {"repr": "[1]"}},
}


async def test_what_json_cannot_hold_costs_only_itself(desk: Desk, worker: Consumer) -> None:
    """A NaN or an object stands as its repr, and all around it as itself; what raises on being
    looked at fails nothing.
    """
    for code, result in SHOWN.items():
        outcome = await desk.run(code)
        assert (outcome.state, outcome.result) == ("completed", result), outcome


async def test_results_that_cannot_be_packed_say_so(desk: Desk, worker: Consumer) -> None:
    """Whatever the cell's objects do to those who look at them, the task ends with a sentence."""
    outcome = await desk.run(
        "class E(Exception):\n    @property\n    def __traceback__(self): raise "
        "SystemExit(4)\nraise E('x')"
    )
    assert outcome.state == "failed" and outcome.error and outcome.error.kind == "cell", outcome
