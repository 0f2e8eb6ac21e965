"""What `tests/conftest.py` does when something that many tests share does not start."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from .tracked import ROOT

_TESTS = """
import pytest

starts = []

@pytest.fixture(scope="module")
def shared():
    starts.append(len(starts))
    if len(starts) <= FAILURES:
        pytest.fail("slow") if HANGS else open("/does/not/exist")
    return len(starts)

def test_1(shared): pass
def test_2(shared): assert shared == 2
def test_3(shared): assert len(starts) == 2
"""


def test_started_once_more(tmp_path: Path) -> None:
    """A shared fixture that did not start, or hung, fails one test; for the next it is started
    again, once: what is broken is not waited for by every test.
    """
    (tmp_path / "conftest.py").write_text("from tests.conftest import pytest_fixture_setup\n")
    for name, failures, hangs in (("slow", 1, False), ("hangs", 1, True), ("broken", 9, False)):
        text = _TESTS.replace("FAILURES", str(failures)).replace("HANGS", str(hangs))
        (tmp_path / f"test_{name}.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-c", os.devnull]
    ran = subprocess.run(
        [*command, "--rootdir", tmp_path, tmp_path],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
    )
    found = re.findall(r"test_(\w+)\.py::test_(\d) (\w+)", ran.stdout.partition("= ERRORS")[0])
    started = [("1", "ERROR"), ("2", "PASSED"), ("3", "PASSED")]
    assert found == [
        *(("broken", number, "ERROR") for number in "123"),
        *(("hangs", *one) for one in started),
        *(("slow", *one) for one in started),
    ], ran.stdout
