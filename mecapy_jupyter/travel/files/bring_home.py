"""Writes files of a cell into the notebook's folder: each completely or not at all, never outside
the folder or through a link, and never over a file that changed here. Runs in the kernel.
A file that this process holds open keeps its inode: what holds it sees what the cell wrote.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from mecapy_jupyter.shared import units
from mecapy_jupyter.shared.errors import CannotReceive, ConfigError
from mecapy_jupyter.travel.files.collect import Collected
from mecapy_jupyter.travel.files.index import Carried, Index, inside, no_file_on_windows

_BESIDE_A_DATABASE = ("-journal", "-wal", "-shm")  # of SQLite: changes that its file lacks
_JUNCTION = 0xA0000003  # IO_REPARSE_TAG_MOUNT_POINT, which `stat` names on Windows only


@dataclass(frozen=True, slots=True)
class SentFolder:
    """The folder as it was sent to a task, the time, and the task's `--keep`."""

    index: Index = field(default_factory=Index)
    at_ns: int = 0
    keep: tuple[str, ...] = ()

    @classmethod
    def of(cls, carried: Carried | None, buffers: Sequence[Any]) -> SentFolder:
        """As in a task's inputs; `buffers`: all of these."""
        if carried is None:
            return cls()
        text = carried.parts[0]
        if text is None:
            text = bytes(buffers[len(buffers) - carried.beside])
        return cls(Index.decode(text), carried.at_ns, carried.keep)

    @property
    def folder(self) -> Path:
        """The notebook's folder; on another machine, the current one."""
        home = Path(self.index.home)
        return home if self.index.home and home.is_dir() else Path.cwd()

    def keeps(self, name: str) -> bool:
        return any(fnmatchcase(name, pattern) for pattern in self.keep)

    def marks(self) -> dict[str, tuple[int, int]]:
        """Path as the cell writes it → size and time of the file here when it was sent."""
        return {
            path: (entry.size_bytes, entry.mtime_ns)
            for entry in self.index.entries
            if (path := self.index.below_start(entry.path)) is not None
        }


def bring_home(home: Collected, sent: SentFolder, task_id: str) -> list[str]:
    """Write the files. Yields the remarks, as sentences."""
    folder = sent.folder
    marks = sent.marks() if home.files or home.deleted else {}
    beside, remarks = list[str](), list[str]()
    for name in home.folders:
        with contextlib.suppress(OSError, CannotReceive, ConfigError):
            _checked(name, folder).mkdir(parents=True, exist_ok=True)
    for name, content in home.files.items():
        try:
            path = _checked(name, folder)
            since = sent.at_ns if sent.keeps(name) else 0
            if _changed(path, marks.get(name), since) or _in_transaction(path):
                if _same(path, content):
                    continue
                path = _free(path, task_id)
                beside.append(f"{name} as {path.name}")
            write(path, content, home.modes.get(name), home.times.get(name))
        except (OSError, CannotReceive, ConfigError) as trouble:
            remarks.append(f"{name} did not come home: {trouble}")
    if beside:
        remarks.append(
            "changed here since the cell was sent, so the pool's version is beside "
            f"it: {units.listed(beside)}"
        )
    return remarks + _deleted(home.deleted, marks, folder, sent)


def follow(ended_in: str, sent: SentFolder) -> list[str]:
    """Follow the cell's change of folder, if that folder exists here; returns the remarks."""
    place = sent.folder / ended_in
    if ended_in == ".":
        return []
    if not sent.index.automatic or Path(ended_in).is_absolute() or not place.is_dir():
        return [
            f"the cell changed its folder to {ended_in}, which did not come home: "
            f"the kernel stays in {Path.cwd()}"
        ]
    os.chdir(place)
    return []


def put(files: Mapping[str, Any], folder: Path) -> None:
    """Write files that the user named. Raises CannotReceive."""
    for name, content in files.items():
        write(_checked(name, folder), content)


def write(path: Path, content: Any, mode: int | None = None, time_ns: int | None = None) -> None:
    """Replace the file atomically, so that a reader sees the old or the new one; overwrite it if
    it is open here. `mode`: on the worker; None: as it is. `time_ns`: of its change, if not now.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(prefix=".mecapy-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(draft).chmod(_mode(path, mode))
        if time_ns is not None:
            os.utime(draft, ns=(time_ns, time_ns))
        if not (_open_here(path) and _overwritten(path, draft)):
            Path(draft).replace(path)
    finally:
        Path(draft).unlink(missing_ok=True)


def _open_here(path: Path) -> bool:
    """Whether this process has the file open or mapped: a log, a database, an `np.memmap`."""
    with contextlib.suppress(OSError):  # no such file; Windows, which refuses to replace it
        there = path.stat()
        for open_file in Path("/dev/fd").iterdir():
            with contextlib.suppress(OSError):
                if os.path.samestat(os.fstat(int(open_file.name)), there):
                    return True
    return False


def _overwritten(path: Path, draft: str) -> bool:
    """Copy the draft's bytes, mode and times. False: that failed; only the draft is whole."""
    try:
        with path.open("r+b") as file, Path(draft).open("rb") as new:
            shutil.copyfileobj(new, file)
            file.truncate()
        shutil.copystat(draft, path)
    except OSError:
        return False
    return True


def _mode(path: Path, there: int | None) -> int:
    """The mode that the cell has set. Other files of a worker are for their owner alone: what he
    may do, others may who may here with the file that it replaces, or with any new file.
    """
    mode = _mode_now(path)
    if there is None:
        return mode
    if there & 0o077:
        return there & 0o777
    mode = mode | (mode & 0o444) >> 2 if there & 0o100 else mode & ~0o111
    return mode if there & 0o200 else mode & ~0o222


def _mode_now(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _checked(name: str, folder: Path) -> Path:
    """The target of a file. Raises for a name that leads out of the folder or through a link."""
    path = folder / inside(name)
    if sys.platform == "win32" and (why := no_file_on_windows(name)):
        raise CannotReceive(f"{why}; give it another name")
    for place in (path, *path.parents):
        if place == folder:
            break
        if _is_link(place):
            raise CannotReceive(
                f"{name} would be written through a link; remove the link, or write to another name"
            )
    return path


def _is_link(path: Path) -> bool:
    """A symbolic link, or a junction of Windows, which `is_symlink` does not see."""
    try:
        about = path.lstat()
    except (OSError, ValueError):
        return False
    return stat.S_ISLNK(about.st_mode) or getattr(about, "st_reparse_tag", 0) == _JUNCTION


def _changed(path: Path, sent: tuple[int, int] | None, asked_ns: int) -> bool:
    """Whether the file here differs from what was sent, so that it must not be overwritten.
    `asked_ns`: when the cell was sent that named the file; 0: the file comes automatically.
    """
    try:
        about = path.stat()
    except OSError:
        return False
    if sent is not None:
        return (about.st_size, about.st_mtime_ns) != sent
    return about.st_mtime_ns > asked_ns


def _in_transaction(path: Path) -> bool:
    """Whether it is a database that is open here with a journal, or that journal: to overwrite or
    replace one of the two alone would damage both.
    """
    journal = path.name.endswith(_BESIDE_A_DATABASE)
    journal = journal or any(os.path.lexists(f"{path}{end}") for end in _BESIDE_A_DATABASE)
    return journal and _open_here(path)


def _same(path: Path, content: Any) -> bool:
    view = memoryview(content).cast("B")
    return path.stat().st_size == view.nbytes and path.read_bytes() == bytes(view)


def _free(path: Path, task_id: str) -> Path:
    """A free name beside it."""
    number = 0
    while True:
        more = f"-{number}" if number else ""
        beside = path.with_name(f"{path.stem}.pool-{task_id[:8]}{more}{path.suffix}")
        if not os.path.lexists(beside):
            return beside
        number += 1


def _deleted(
    names: Iterable[str], known: Mapping[str, tuple[int, int]], folder: Path, sent: SentFolder
) -> list[str]:
    """A deletion by the cell applies here if `--keep` names the file; otherwise it is reported."""
    stay: list[str] = []
    for name in names:
        try:
            path = _checked(name, folder)
        except (CannotReceive, ConfigError):
            continue
        if not os.path.lexists(path):
            continue
        if sent.keeps(name) and not _changed(path, known.get(name), 0):
            path.unlink()
        else:
            stay.append(name)
    if not stay:
        return []
    return [
        f"the cell deleted {units.listed(stay)}, which stays here; `--keep {stay[0]}` deletes it "
        f"here, too"
    ]
