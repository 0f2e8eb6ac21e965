"""Folders that tasks have left, each for the next task of the same owner from the same folder of
notebooks: that child writes only what differs, because creating and deleting hundreds of files
takes far longer than most cells. The child compares every byte (`lay_out`), so what one cell does
to its files never reaches another.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import itertools
import os
import stat
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path

from mecapy_worker.pool.scratch import remove

_MOST_KEPT, _IDLE_S, _LOOK_S = 8, 600.0, 15.0
_MOST_FILES, _MOST_BYTES = 2_000, 64_000_000  # in one folder


@dataclass(frozen=True, slots=True)
class FolderOwner:
    """What names a folder: the owner of the task, and the notebook's folder in the kernel."""

    name: str
    home: str


@dataclass(frozen=True, slots=True)
class LeftFolder:
    """`ended`: set once its child is dead; it is no longer among the others if it is not kept."""

    owner: FolderOwner
    folder: Path
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    since_s: float = field(default_factory=time.monotonic)


class EarlierFolders:
    """The earlier folders of one pool. `base`: where they lie, on the disk of the children's
    folders.
    """

    def __init__(self, base: Path) -> None:
        self._base = base
        self._numbers = itertools.count(1)
        self._left = list[LeftFolder]()

    async def give(self, owner: FolderOwner, work: Path, uid: int | None) -> bool:
        """Put an earlier folder in the place of `work`, which is empty. Whether there is one."""
        while of_owner := [one for one in self._left if one.owner == owner]:
            left = max(of_owner, key=lambda one: one.ended.is_set())
            await left.ended.wait()
            if left not in self._left:  # another task has it, or it is not kept
                continue
            self._left.remove(left)
            with contextlib.suppress(OSError):  # the child has put something else there
                await asyncio.to_thread(_hand_over, left.folder, work, uid)
                return True
            await asyncio.to_thread(remove, left.folder)
        return False

    @contextlib.asynccontextmanager
    async def taken_back(
        self, owner: FolderOwner, work: Path, uid: int | None
    ) -> AsyncGenerator[None]:
        """Inside, the child ends; a task that wants its folder meanwhile waits."""
        left, kept = LeftFolder(owner, self._base / str(next(self._numbers))), False
        self._left.append(left)
        try:
            yield
            kept = await asyncio.to_thread(_taken_back, work, left.folder, uid)
        finally:
            if not kept:
                self._left.remove(left)
            left.ended.set()
        await self._remove(self._left[:-_MOST_KEPT])

    async def run(self) -> None:
        """Remove what is not used, forever."""
        while True:
            await asyncio.sleep(_LOOK_S)
            now = time.monotonic()
            await self._remove([one for one in self._left if now - one.since_s > _IDLE_S])

    async def _remove(self, unwanted: list[LeftFolder]) -> None:
        for left in unwanted:
            if left in self._left and left.ended.is_set():
                self._left.remove(left)
                await asyncio.to_thread(remove, left.folder)


def _hand_over(folder: Path, work: Path, uid: int | None) -> None:
    """Only plain files and folders are in it, and nobody else reaches it."""
    if uid is not None:
        for place, _, names in os.walk(folder):
            os.chown(place, uid, uid)
            for name in names:
                os.chown(f"{place}/{name}", uid, uid, follow_symlinks=False)
    folder.rename(work)


def _taken_back(work: Path, folder: Path, uid: int | None) -> bool:
    """Whether it is small enough to be kept. All processes that could change it are dead."""
    with contextlib.suppress(OSError):
        _trim(work, os.geteuid() if uid is None else uid)
        work.rename(folder)
        work.mkdir(0o700)  # as the removal of a child expects it
        return True
    return False


def _trim(work: Path, uid: int) -> None:
    """Leave only folders and plain files of this user. A file with a second name may lie elsewhere,
    and giving it to another user would give that away. Raises OSError if it is large.
    """
    files = size_bytes = 0
    folders = [str(work)]
    while folders:
        place = folders.pop()
        about = os.lstat(place)
        if not stat.S_ISDIR(about.st_mode) or about.st_uid != uid:
            raise PermissionError(place)
        os.chmod(place, 0o700)  # noqa: PTH101 (no pathlib for a thousand files)
        with os.scandir(place) as entries:
            for entry in entries:
                about = entry.stat(follow_symlinks=False)
                files, size_bytes = files + 1, size_bytes + about.st_size
                if files > _MOST_FILES or size_bytes > _MOST_BYTES:
                    raise OSError(errno.EFBIG, place)
                if stat.S_ISDIR(about.st_mode):
                    folders.append(entry.path)
                elif not _is_plain(about, uid):
                    os.unlink(entry.path)  # noqa: PTH108


def _is_plain(about: os.stat_result, uid: int) -> bool:
    return stat.S_ISREG(about.st_mode) and about.st_nlink == 1 and about.st_uid == uid
