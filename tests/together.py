"""Files of tests that share what takes long to start run in one process: each further process would
start JupyterLab, or two users' workers, once more.
"""

from __future__ import annotations

import pytest
from xdist.remote import Producer
from xdist.scheduler.loadfile import LoadFileScheduling

TOGETHER = {
    "JupyterLab": (
        "tests/browser/test_gallery.py",
        "tests/browser/test_live_block.py",
        "tests/browser/test_real_cell.py",
    ),
    "two users' workers": (
        "tests/security/egress/test_bypass.py",
        "tests/security/egress/test_hosts.py",
        "tests/security/test_attacks.py",
        "tests/security/test_bombs.py",
        "tests/security/test_inputs.py",
        "tests/security/test_memory.py",
        "tests/security/test_secrets.py",
        "tests/security/test_strict.py",
    ),
}
_PLACES = {file: group for group, files in TOGETHER.items() for file in files}


class TogetherScheduling(LoadFileScheduling):
    def _split_scope(self, nodeid: str) -> str:
        file = super()._split_scope(nodeid)
        return _PLACES.get(file, file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> TogetherScheduling | None:
    return TogetherScheduling(config, log) if config.getoption("dist") == "loadfile" else None
