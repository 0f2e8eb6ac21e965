"""The oldest ipykernel that the client asks for beside the installed one: the same cells, in a
kernel of each.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import Kernel, started
from .test_interrupts import ENDLESS, SAYS_WHEN_IT_BEGINS, interrupted

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
OLDEST = "".join(re.findall(r'"ipykernel>=([\d.]+)"', PYPROJECT.read_text()))


@pytest.fixture(scope="module")
def oldest(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with that ipykernel, to stand before the installed one on the path."""
    folder = tmp_path_factory.mktemp("ipykernel")
    wanted = (f"ipykernel=={OLDEST}", "nest-asyncio")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--retries=1",
        "--target",
        str(folder),
        *wanted,
    ]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=400, check=False)
    if ran.returncode:
        pytest.skip(f"ipykernel {OLDEST} cannot be had here: {ran.stderr.strip().splitlines()[-1]}")
    return str(folder)


@pytest.fixture(params=["oldest", "installed"])
def one(
    request: pytest.FixtureRequest, kernel_environment: dict[str, str], tmp_path: Path
) -> Iterator[Kernel]:
    before = request.getfixturevalue("oldest") if request.param == "oldest" else ""
    path = os.pathsep.join(filter(None, (before, kernel_environment.get("PYTHONPATH", ""))))
    with started(kernel_environment | {"PYTHONPATH": path}, tmp_path) as kernel:
        version = kernel.value("__import__('ipykernel').__version__")
        assert version.startswith(f"'{OLDEST}") is bool(before), version
        yield kernel


def test_the_same_cells(one: Kernel) -> None:
    """Loaded, a cell runs with its output and its variables; a block is shown and stays; `--bg`
    comes home; an interrupt cancels.
    """
    assert one.run("%load_ext mecapy_jupyter\nx = [1]").ok
    ran = one.run("%%mecapy --progress-after 0\nprint('there')\nx.append(2)\ny = sum(x)\ny")
    assert ran.ok and ran.stdout == "there\n" and ran.results[0]["data"]["text/plain"] == "3", ran
    assert "✔" in ran.displays[-1]["data"]["text/plain"]
    assert one.value("(x, y)") == "([1, 2], 3)"
    assert one.run("%%mecapy --bg --as job\nz = y + 1").ok
    assert one.value("(job.result(), z)") == "(None, 4)"
    assert one.run(SAYS_WHEN_IT_BEGINS).ok
    endless = ENDLESS.replace("while", "print('runs')\nwhile").format(number=1)
    reply = interrupted(one, f"%%mecapy --timeout 600\n{endless}", 0, says="runs")
    assert reply["ename"] == "TaskCancelled"
    assert one.value("kept") == "1"
