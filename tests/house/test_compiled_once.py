"""Collected tests are kept compiled and are not searched for garbage; while tests run, settings
are as they were.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from mecapy_jupyter.commands import mcp_server

INSIDE = """
import gc
import sys

from tests.compiled_once import kept

collected = gc.isenabled(), []

def test_of_that_run():
    assert sys.dont_write_bytecode is True
    assert not collected[0] and gc.isenabled()
    assert not any(one is collected for one in gc.get_objects())
    with kept():
        import imported_later
    assert sys.dont_write_bytecode is True
"""


def test_collected_tests_are_kept_compiled(tmp_path: Path):
    """In a run of its own, with the setting."""
    (tmp_path / "test_inside.py").write_text(INSIDE)
    (tmp_path / "imported_later.py").touch()
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p"]
    command += ["tests.compiled_once", "--rootdir", str(tmp_path), "-c", os.devnull, str(tmp_path)]
    source = Path(mcp_server.__file__)
    compiled = source.parent / "__pycache__" / f"{source.stem}.{sys.implementation.cache_tag}.pyc"
    compiled.unlink(missing_ok=True)
    setting = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": ""}
    ran = subprocess.run(
        command,
        cwd=Path(__file__).parents[2],
        env=os.environ | setting,
        capture_output=True,
        text=True,
    )
    assert "1 passed" in ran.stdout, ran.stdout + ran.stderr
    assert compiled.exists()  # MecaPy's own modules, too
    kept = {each.name.partition(".")[0] for each in (tmp_path / "__pycache__").iterdir()}
    assert kept == {"test_inside", "imported_later"}
