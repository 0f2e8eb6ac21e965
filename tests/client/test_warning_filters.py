"""Warning filters travel by the names of their categories."""

from __future__ import annotations

import pickle
import subprocess
import sys
import warnings

import urllib3

from mecapy_jupyter.travel.environment import process_state

_OTHER_SIDE = """
import pickle, sys, warnings
from mecapy_jupyter.travel.environment import process_state
sent = sys.stdin.buffer.read()
process_state.take({"warnings.filters": pickle.loads(sent)})
assert "urllib3" not in sys.modules, "opening the filters imported a package"
assert process_state.current()["warnings.filters"] == pickle.loads(sent)
import urllib3
warnings.filters[:] = [line for line in warnings.filters if "_Named" in type(line[2]).__name__]
warnings.warn("a", urllib3.exceptions.InsecureRequestWarning)
try:
    warnings.warn("b", urllib3.exceptions.DependencyWarning)
except urllib3.exceptions.DependencyWarning:
    print("raised")
"""


def test_a_filter_of_a_package_that_is_not_loaded_there_imports_nothing_and_filters() -> None:
    """What the notebook ignores is ignored on the worker,
    whose process imports no package for it.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", urllib3.exceptions.SecurityWarning)
        warnings.simplefilter("error", urllib3.exceptions.DependencyWarning)
        filters = process_state.KINDS["warnings.filters"].get()
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _OTHER_SIDE],
        input=pickle.dumps(filters),
        capture_output=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr.decode()
    assert run.stdout == b"raised\n"
    assert run.stderr == b""


def test_a_filter_comes_home_as_the_category_it_was() -> None:
    """Filters put back are the very categories that were sent."""
    kind = process_state.KINDS["warnings.filters"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", urllib3.exceptions.SecurityWarning)
        kind.put(kind.get())
        assert warnings.filters[0][2] is urllib3.exceptions.SecurityWarning
