"""Folders with names that can be guessed: somebody else was there first."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from blake3 import blake3

from mecapy_backend.stack.supervisor import StackOptions
from mecapy_backend.stack.up import up
from mecapy_backend.store.blobs.blob_store import open_store
from mecapy_jupyter.shared.data_dir import DataDir
from mecapy_jupyter.shared.errors import ConfigError
from mecapy_jupyter.shared.own_folder import own_folder
from mecapy_jupyter.stack import embedded
from mecapy_worker.main import scratch_folder

from .ground import NOBODY

DIGEST = blake3(b"what the owner sent").hexdigest()
PLANTED = b"what somebody else put there"


def of_somebody_else(folder: Path, *, link_to: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can play another user")
    folder.mkdir()
    folder.chmod(0o777)
    plant(folder)
    os.chown(folder, NOBODY, NOBODY)


def linked_by_somebody_else(folder: Path, *, link_to: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can play another user")
    folder.symlink_to(link_to)
    os.lchown(folder, NOBODY, NOBODY)


def open_for_everybody(folder: Path, *, link_to: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)
    plant(folder)


def plant(folder: Path) -> None:
    planted = folder / "ann" / DIGEST[:2] / DIGEST
    planted.parent.mkdir(parents=True)
    planted.write_bytes(PLANTED)


Attack = Callable[..., None]
ATTACKS = (of_somebody_else, linked_by_somebody_else, open_for_everybody)


@pytest.fixture
def temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temp folder as a machine's: everybody may write, nobody may rename another's."""
    folder = tmp_path / "temp"
    folder.mkdir()
    folder.chmod(0o1777)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_cache_that_others_can_write_is_refused(
    attack: Attack, temp: Path, tmp_path: Path
) -> None:
    """No planted byte is handed out, nothing is deleted through a link, and the error says what to
    do.
    """
    valued = tmp_path / "valued"
    plant(valued)
    attack(temp / f"mecapy-blobs-{os.getuid()}", link_to=valued)
    with pytest.raises(ConfigError, match="remove it, or name another folder with MECAPY_CACHE"):
        open_store("s3://bucket", endpoint_url="http://127.0.0.1:1", cache_bytes=1)
    assert (valued / "ann" / DIGEST[:2] / DIGEST).read_bytes() == PLANTED


async def test_a_cache_is_looked_at_again_at_each_use(temp: Path) -> None:
    """Whoever clears a temp folder may have made room for somebody else's."""
    store = open_store("s3://bucket", endpoint_url="http://127.0.0.1:1")
    cache = temp / f"mecapy-blobs-{os.getuid()}"
    cache.rename(temp / "cleared")
    open_for_everybody(cache, link_to=cache)
    with pytest.raises(ConfigError, match="others to write"):
        os.close(await store.open("ann", DIGEST))


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_worker_does_not_work_where_others_can_write(
    attack: Attack, temp: Path, tmp_path: Path
) -> None:
    """It takes another folder, which is its own."""
    attack(temp / f"mecapy-worker-{os.geteuid()}", link_to=tmp_path)
    folder = scratch_folder()
    assert folder != temp / f"mecapy-worker-{os.geteuid()}"
    assert folder.stat().st_uid == os.geteuid() and not folder.is_symlink()
    assert folder.stat().st_mode & 0o777 == 0o711


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_stack_trusts_no_data_directory_that_others_can_write(
    attack: Attack, temp: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither `up` nor a notebook that would start or join one."""
    attack(temp / "data", link_to=tmp_path)
    assert up(DataDir(temp / "data"), StackOptions()) == 1
    assert "name another folder with --data" in capsys.readouterr().err
    for ask in (embedded.ensure, embedded.joined, embedded.down):
        attack_again(attack, temp, tmp_path)
        with pytest.raises(ConfigError, match="--data"):
            ask(temp / "data")


def attack_again(attack: Attack, temp: Path, tmp_path: Path) -> None:
    """A folder of ours that was open is closed by now."""
    if attack is open_for_everybody:
        (temp / "data").chmod(0o777)


def test_what_is_ours_stays_in_use(tmp_path: Path) -> None:
    """A folder made before, an empty one that was open, and a link of our own to a larger disk."""
    for mode in (0o700, 0o755, 0o777):
        folder = tmp_path / oct(mode)
        folder.mkdir()
        folder.chmod(mode)
        assert own_folder(folder, setting="--data").stat().st_mode & 0o777 == 0o700
    linked = tmp_path / "linked"
    linked.symlink_to(tmp_path / "0o755")
    (linked / "kept").write_text("mine")
    assert (own_folder(linked, setting="--data") / "kept").read_text() == "mine"
