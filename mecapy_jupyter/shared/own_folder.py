"""A folder that is ours alone, made or checked: before anything in it is believed, written or
deleted.

Names in a temp folder can be guessed, so somebody else may have been there first: with a folder of
their own, with a link to one of ours, or with files in a folder that everybody may write.
"""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from pathlib import Path

from mecapy_jupyter.shared.errors import ConfigError

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH
_ROOT = 0


def own_folder(path: Path, mode: int = 0o700, *, setting: str) -> Path:
    """`path`, which is then a folder of ours with this mode; made where it is not there. `setting`:
    what names another folder, for the message.

    Raises ConfigError where it is somebody else's, or others could have written into it.
    """
    if sys.platform == "win32":  # a user's folders are theirs by what they inherit
        path.mkdir(parents=True, exist_ok=True)
        return path
    place = _through_own_link(path)
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with suppress(FileExistsError):
        place.mkdir(mode)
    try:
        fd = os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        why = _NO_FOLDER if place.is_symlink() or not place.is_dir() else error.strerror
        raise _refused(path, str(why), setting) from None
    try:
        if why := _not_ours(fd, mode):
            raise _refused(path, why, setting)
    finally:
        os.close(fd)
    return path


def _through_own_link(path: Path) -> Path:
    """Where a link of our own leads (home folders are often linked to larger disks); somebody
    else's is not followed.
    """
    try:
        status = path.lstat()
    except FileNotFoundError:
        return path
    is_own_link = stat.S_ISLNK(status.st_mode) and status.st_uid in (os.geteuid(), _ROOT)
    return path.resolve() if is_own_link else path


_NO_FOLDER = "is another user's link, or not a folder"


def _not_ours(fd: int, mode: int) -> str:
    """Why the open folder is not ours alone; empty where it is, and has this mode."""
    status = os.fstat(fd)
    if status.st_uid != os.geteuid():
        return f"belongs to another user (uid {status.st_uid})"
    if stat.S_IMODE(status.st_mode) == mode:
        return ""
    os.fchmod(fd, mode)
    if status.st_mode & _OTHERS_MAY_WRITE and os.listdir(fd):
        # Closed from now on, but who wrote what is in it cannot be told.
        return "was open for others to write, and is not empty"
    if os.fstat(fd).st_mode & _OTHERS_MAY_WRITE:
        return "lies on a file system that keeps no permissions"
    return ""


def _refused(path: Path, why: str, setting: str) -> ConfigError:
    return ConfigError(
        f"{path} {why}, so its contents cannot be trusted: remove it, or name another "
        f"folder with {setting}"
    )
