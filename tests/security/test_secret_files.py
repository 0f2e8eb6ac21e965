"""Where a user's token and key lie: readable by them alone, and said where somebody has changed
that.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from mecapy_jupyter.client import config, signing
from mecapy_jupyter.commands import doctor


def found(word: str) -> list[str]:
    return [one.text for one in doctor.examine() if not one.good and word in one.text]


@pytest.mark.parametrize("name", ["config.toml", "signing-key"])
def test_a_file_that_others_may_read(home: Path, name: str) -> None:
    """`mecapy doctor` names it and what to do; who runs what was written by us hears nothing."""
    mask = os.umask(0)
    try:
        config.save({"url": "http://127.0.0.1:9", "token": "t"})
        signing.make(signing.key_file())
    finally:
        os.umask(mask)
    assert [path.stat().st_mode & 0o777 for path in sorted(home.iterdir())] == [0o600, 0o600]
    assert not found("others may read")
    (home / name).chmod(0o644)
    (said,) = found("others may read")
    assert f"chmod 600 {home / name}" in said


def test_a_file_of_another_user(home: Path) -> None:
    """It is not ours, whatever it says."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    config.save({"url": "http://127.0.0.1:9", "token": "t"})
    os.chown(config.config_file(), 12345, 12345)
    assert "uid 12345" in found("belongs to another user")[0]
