"""Folders that tasks leave for the next task of the same owner."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest

from mecapy_worker.pool.earlier_folders import EarlierFolders, FolderOwner

ADA = FolderOwner("ada", "/project")
pytestmark = pytest.mark.asyncio


@pytest.fixture
def folders(tmp_path: Path) -> EarlierFolders:
    (tmp_path / "earlier").mkdir()
    return EarlierFolders(tmp_path / "earlier")


def _work(tmp_path: Path, name: str, *files: str) -> Path:
    work = tmp_path / name / "work"
    work.mkdir(parents=True)
    for file in files:
        (work / file).parent.mkdir(exist_ok=True)
        (work / file).write_text(file)
    return work


async def _left(folders: EarlierFolders, work: Path, owner: FolderOwner = ADA) -> None:
    async with folders.taken_back(owner, work, None):
        pass


async def test_the_next_task_of_the_owner_has_it(folders: EarlierFolders, tmp_path: Path) -> None:
    """Once, and no other owner nor another folder of that owner."""
    await _left(folders, _work(tmp_path, "1", "a.txt", "b/c.txt"))
    for other in (FolderOwner("eve", ADA.home), FolderOwner("ada", "/elsewhere")):
        assert not await folders.give(other, _work(tmp_path, other.name + other.home[1:]), None)
    work = _work(tmp_path, "2")
    assert await folders.give(ADA, work, None)
    assert sorted(path.name for path in work.rglob("*.txt")) == ["a.txt", "c.txt"]
    assert not await folders.give(ADA, _work(tmp_path, "3"), None)


async def test_only_plain_files_of_its_own_are_left(
    folders: EarlierFolders, tmp_path: Path
) -> None:
    """No link, pipe or socket, and no file that has a second name."""
    work = _work(tmp_path, "1", "a.txt")
    (tmp_path / "of_another").write_text("x")
    (work / "link").symlink_to(tmp_path / "of_another")
    (work / "links").symlink_to(tmp_path)
    (work / "second").hardlink_to(tmp_path / "of_another")
    os.mkfifo(work / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(work / "socket"))
    await _left(folders, work)
    work = _work(tmp_path, "2")
    assert await folders.give(ADA, work, None)
    assert [path.name for path in work.iterdir()] == ["a.txt"]
    assert (tmp_path / "of_another").read_text() == "x"


async def test_not_kept(folders: EarlierFolders, tmp_path: Path) -> None:
    """A large folder, and a link in its place, which leads nowhere."""
    large = _work(tmp_path, "1", "a.txt")
    with (large / "large").open("w") as file:
        file.truncate(1 << 40)
    linked = tmp_path / "3" / "work"
    linked.parent.mkdir()
    linked.symlink_to(_work(tmp_path, "target", "a.txt"))
    for work in (large, linked):
        await _left(folders, work)
    assert not await folders.give(ADA, _work(tmp_path, "4"), None)
    assert not list((tmp_path / "earlier").iterdir())
    assert (tmp_path / "target" / "work" / "a.txt").exists()


async def test_a_task_waits_for_one_that_ends(folders: EarlierFolders, tmp_path: Path) -> None:
    """The next cell comes before the last one's processes are dead."""
    work = _work(tmp_path, "2")
    async with folders.taken_back(ADA, _work(tmp_path, "1", "a.txt"), None):
        given = asyncio.create_task(folders.give(ADA, work, None))
        await asyncio.sleep(0)
        assert not given.done()
    assert await given and (work / "a.txt").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files to another user")
async def test_it_belongs_to_the_next_child(folders: EarlierFolders, tmp_path: Path) -> None:
    """Each child has a user of its own."""
    work = _work(tmp_path, "1", "a.txt", "b/c.txt")
    for path in (work, *work.rglob("*")):
        os.chown(path, 12345, 12345)
    async with folders.taken_back(ADA, work, 12345):
        pass
    work = _work(tmp_path, "2")
    assert await folders.give(ADA, work, 54321)
    assert {path.stat().st_uid for path in (work, *work.rglob("*"))} == {54321}
