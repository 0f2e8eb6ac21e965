"""`mecapy enable` makes the kernels of a profile know `%%mecapy`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ASKED = "print('mecapy' in get_ipython().magics_manager.magics['cell'])"


def run(home: Path, *command: str) -> str:
    env = os.environ | {"IPYTHONDIR": str(home), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-m", *command], env=env, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_no_load_ext_any_more(tmp_path: Path) -> None:
    """On: an IPython of the profile has the magic from its start. Off: it has not."""
    assert "on: " in run(tmp_path, "mecapy_jupyter.cli", "enable")
    assert "True" in run(tmp_path, "IPython", "--no-banner", "-c", ASKED)
    assert "off: " in run(tmp_path, "mecapy_jupyter.cli", "enable", "--off")
    assert "False" in run(tmp_path, "IPython", "--no-banner", "-c", ASKED)
