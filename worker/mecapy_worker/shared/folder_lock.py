"""A folder is locked while its owner lives, so that what a crash left is known and removed."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path


def made(make: Callable[[], Path]) -> tuple[Path, int]:
    """A new folder, and the descriptor that holds its lock until it is closed.

    Another process may take the folder for one that was left, before it is locked: then it makes
    another.
    """
    while True:
        folder = make()
        fd = _lock(folder)
        if fd is not None:
            if folder.exists():
                return folder, fd
            os.close(fd)


def left(folders: Iterable[Path]) -> Iterator[Path]:
    """Those of them whose owner is gone. Each is locked until the next one is asked for."""
    for folder in folders:
        fd = _lock(folder)
        if fd is not None:
            try:
                yield folder
            finally:
                os.close(fd)


def _lock(folder: Path) -> int | None:
    """None if another process holds it, or it is gone or not ours."""
    with contextlib.suppress(FileNotFoundError, PermissionError, NotADirectoryError):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        except BlockingIOError:
            os.close(fd)
    return None
