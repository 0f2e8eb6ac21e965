"""Files whose tests share what takes long to start go to one process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ..together import TOGETHER

ROOT = Path(__file__).parents[2]
SHARED = {
    "JupyterLab": ("tests/browser", re.compile(r"\b(lab|open_notebook): ")),
    "two users' workers": ("tests/security", re.compile(r"\b(grounds|here|targets): ")),
}


@pytest.mark.parametrize("group", SHARED)
def test_every_file_that_shares_is_named(group: str) -> None:
    """By the fixtures that its tests ask for."""
    folder, asks = SHARED[group]
    files = sorted((ROOT / folder).rglob("test_*.py"))
    sharing = {file.relative_to(ROOT).as_posix() for file in files if asks.search(file.read_text())}
    assert sharing == set(TOGETHER[group])


def test_they_go_to_one_process(tmp_path: Path) -> None:
    """Of a run with a process for each file."""
    for file in TOGETHER["JupyterLab"]:
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("import os\ndef test_where(): print(os.environ['PYTEST_XDIST_WORKER'])")
    command = [sys.executable, "-m", "pytest", "-p", "tests.together", "-p", "no:cacheprovider"]
    command += ["-n3", "--dist=loadfile", "-rP", "--import-mode=importlib"]
    command += ["--rootdir", str(tmp_path), "-c", os.devnull, str(tmp_path)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    places = re.findall(r"^gw\d$", ran.stdout, re.MULTILINE)
    assert len(places) == 3 and len(set(places)) == 1, ran.stdout
    assert "loadfilesched" not in ran.stdout
