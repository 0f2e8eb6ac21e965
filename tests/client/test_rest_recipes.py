"""The recipes of docs/rest.md, run as they stand there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

PAGE = (Path(__file__).parents[2] / "docs" / "rest.md").read_text()


def recipe(title: str) -> str:
    found = re.search(rf'```\w+ title="{title}"\n(.*?)```', PAGE, re.DOTALL)
    assert found
    return found[1]


def run(running_stack: Any, command: list[str], script: str) -> str:
    where = {"MECAPY_URL": running_stack.url, "MECAPY_TOKEN": running_stack.token}
    done = subprocess.run(
        command, input=script, env=os.environ | where, text=True,
        capture_output=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_curl(running_stack: Any) -> None:
    """Submits, follows the output live, and has the result."""
    said = run(running_stack, ["bash", "-euo", "pipefail", "-s"], recipe("curl"))
    assert "event: stdout" in said and "summing" in said
    assert '"status":"completed","result":14' in said.replace(" ", "")


@pytest.mark.skipif(not shutil.which("Rscript"), reason="needs R (r-base-core, r-cran-httr2)")
def test_r(running_stack: Any) -> None:
    """Submits, waits, and has the result."""
    script = recipe("R").partition("library(httr2)\n")
    known = "if (!requireNamespace('httr2', quietly = TRUE)) quit(status = 77)\n"
    done = subprocess.run(["Rscript", "-e", known.strip()], check=False, timeout=120)
    if done.returncode == 77:
        pytest.skip("needs httr2 (r-cran-httr2)")
    assert "[1] 14" in run(running_stack, ["Rscript", "-"], "".join(script))
