"""What a cell asks its process about itself and its user has the answer that the kernel gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Kernel, started

ASKED = {
    "streams": "import sys\n[(one.encoding, one.errors) for one in (sys.stdout, sys.stderr)]",
    "undecodable bytes": "print('a\\udcff\\udcfeb')",
    "arguments": "import argparse\nargparse.ArgumentParser().parse_known_args()[1][0]",
    "the program": "import argparse\nargparse.ArgumentParser().format_usage()",
    "the user": "import getpass\ngetpass.getuser()",
    "colours of commands": "import os\nos.environ.get('TERM'), os.environ.get('FORCE_COLOR')",
    "the mode of a new file": "import os, pathlib\npathlib.Path('made').unlink(missing_ok=True)\n"
    "open('made', 'w').close()\noct(os.stat('made').st_mode)",
}


@pytest.mark.parametrize("cell", ASKED.values(), ids=ASKED)
def test_the_process_answers_as_the_kernel(kernel: Kernel, cell: str) -> None:
    """The same text, whatever it is here."""
    here, there = kernel.run(cell), kernel.run(f"%%mecapy\n{cell}")
    assert there.ok, there.text
    shown = [[one["data"] for one in ran.results] or ran.stdout for ran in (here, there)]
    assert shown[0] == shown[1], there.stderr


def test_variables_that_the_kernel_was_started_with(
    kernel_environment: dict[str, str], tmp_path: Path
) -> None:
    """The cell has those that it, a function of the notebook or a module of the user's names,
    and can remove one; one that looks like a secret stays, and a line names it.
    """
    started_with = {"SOLVER_DIR": "/opt/s", "MESH": "fine", "SOLVER_KEY": "k", "UNNAMED": "1"}
    started_with |= {"DATA_URL": "db://me:word@host", "LICENCE_SERVER": "a"}
    with started(kernel_environment | started_with, tmp_path) as kernel:
        assert kernel.run("%load_ext mecapy_jupyter").ok
        Path(tmp_path / "licence.py").write_text(
            "import os\ndef server(): return os.environ.get('LICENCE_SERVER', 'none')\n"
        )
        assert kernel.run("import licence\ndef mesh(): return licence.os.environ.get('MESH')").ok
        ran = kernel.run(
            "%%mecapy\nimport os\nthere = os.environ.pop('SOLVER_DIR', 0), mesh(), "
            "licence.server(), *map(os.environ.get, ['SOLVER_KEY', 'DATA_URL', 'UN' 'NAMED'])"
        )
        assert ran.ok, ran.text
        assert kernel.value("there") == "('/opt/s', 'fine', 'a', None, None, None)"
        assert "SOLVER_KEY stays here" in ran.stderr and "DATA_URL stays here" in ran.stderr
        here = "[os.environ.get(name) for name in ('SOLVER_DIR', 'MESH', 'SOLVER_KEY', 'UNNAMED')]"
        assert kernel.value(here) == "[None, 'fine', 'k', '1']"
