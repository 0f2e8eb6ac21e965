"""The scratch: one folder for each pool, in it one for each child. Made before a child is forked, removed after, whatever is in it.

Several workers may share a scratch: each locks its own folder, and whatever is not locked was left by a crash and is swept.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

_INSIDE = ("work", "outbox", "tmp", "home", "home/matplotlib", "home/ipython")
_PREFIX = "pool-"


class Scratch:
    """This pool's folder. `shared` is the zygote's home (the font cache), the same for all pools and read-only to children."""

    def __init__(self, scratch: Path) -> None:
        scratch.mkdir(parents=True, exist_ok=True)
        scratch = scratch.resolve()
        sweep(scratch)
        self.shared = scratch / "shared"
        for folder in (self.shared, self.shared / "matplotlib"):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o755)
        self.base = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=scratch))
        self._lock = _lock(self.base)
        self.base.chmod(0o711)  # a child of another user passes through, and lists nothing
        self.secret = self.base / "secret"  # what the probe tries to read
        self.secret.write_text("not for children")

    def make(self, name: str, uid: int | None) -> Path:
        """An empty folder for one child, its user's alone."""
        root = self.base / name
        for folder in (root, *(root / inside for inside in _INSIDE)):
            folder.mkdir(mode=0o700)
            if uid is not None:
                os.chown(folder, uid, uid)
        return root

    def close(self) -> None:
        remove(self.base)
        if self._lock is not None:
            os.close(self._lock)


def sweep(scratch: Path) -> None:
    """Remove the folders of pools that are no more."""
    for left in scratch.glob(_PREFIX + "*"):
        lock = _lock(left)
        if lock is not None:
            remove(left)
            os.close(lock)


def remove(root: Path) -> None:
    """Remove a folder and all in it. Its owner's processes must be dead: then nothing in it can change meanwhile."""
    try:
        shutil.rmtree(root)
    except FileNotFoundError:
        return
    except (OSError, RecursionError):  # unreadable folders, or nested beyond any path's length: the tools manage both
        for command in (["chmod", "-R", "u+rwX", "--", str(root)], ["rm", "-rf", "--", str(root)]):
            subprocess.run(command, check=False, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _lock(folder: Path) -> int | None:
    """A descriptor that holds the folder's lock until closed; None when another pool holds it."""
    with contextlib.suppress(FileNotFoundError, PermissionError, NotADirectoryError):
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return fd
        except BlockingIOError:
            os.close(fd)
    return None
