"""The scratch: a folder for each pool, with one for each child, created before the fork and removed
afterwards. Several workers may share it: each locks its own folder, and unlocked ones were left by
a crash and are removed.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mecapy_worker.shared import crash_line, folder_lock

_INSIDE = ("work", "outbox", "tmp", "home", "home/matplotlib")
_PREFIX = "pool-"


class Scratch:
    """This pool's folder. `shared` is the zygote's home (the font cache), the same for all pools
    and read-only to children.
    """

    def __init__(self, scratch: Path) -> None:
        scratch.mkdir(parents=True, exist_ok=True)
        scratch = scratch.resolve()
        sweep(scratch)
        self.shared = scratch / "shared"
        for folder in (self.shared, self.shared / "matplotlib"):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o755)
        self.base, self._lock = folder_lock.made(
            lambda: Path(tempfile.mkdtemp(prefix=_PREFIX, dir=scratch))
        )
        self.base.chmod(0o711)  # a child of another user passes through, but cannot list it
        self.earlier = self.base / "earlier"  # what tasks left (`earlier_folders`)
        self.earlier.mkdir(0o700)
        self.secret = self.base / "secret"  # what the probe tries to read
        self.secret.write_text("not for children")

    def make(self, name: str, uid: int | None) -> Path:
        """An empty folder for one child, owned by its user."""
        root = f"{self.base}/{name}"
        for folder in (root, *(f"{root}/{inside}" for inside in _INSIDE)):
            # A dozen calls per task: pathlib would take longer than the calls.
            os.mkdir(folder, 0o700)  # noqa: PTH102
            if uid is not None:
                os.chown(folder, uid, uid)
        return Path(root)

    def close(self) -> None:
        remove(self.base)
        os.close(self._lock)


def sweep(scratch: Path) -> None:
    """Remove the folders of pools that have ended."""
    for left in folder_lock.left(scratch.glob(_PREFIX + "*")):
        remove(left)


def removed_at_once(root: Path, fonts: Sequence[str]) -> bool:
    """Remove the folder of a child that left nothing in it, as most do, in a few calls that never
    block. False: `remove` has to do it. The child may have replaced any folder by a link, so each
    is entered from its parent and never by path, and only known entries are unlinked. `fonts`: the
    links that every child gets in `home/matplotlib`.
    """
    with contextlib.ExitStack() as stack:

        def entered(name: str | Path, above: int | None = None) -> int:
            fd = os.open(
                name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above
            )
            stack.callback(os.close, fd)
            return fd

        try:
            inside = entered(root)
            home, outbox = entered("home", inside), entered("outbox", inside)
            matplotlib = entered("matplotlib", home)
            for name in fonts:
                os.unlink(name, dir_fd=matplotlib)
            os.unlink(crash_line.NAME, dir_fd=outbox)
            os.rmdir("matplotlib", dir_fd=home)
            for name in _INSIDE:
                if "/" not in name:
                    os.rmdir(name, dir_fd=inside)
            os.rmdir(root)  # noqa: PTH106
        except OSError:
            return False
    return True


def remove(root: Path) -> None:
    """Remove a folder with its content, without following links.

    Its owner's processes must be dead, so that nothing changes meanwhile. `root` itself cannot be
    replaced, because no child may write to its parent.
    """
    try:
        shutil.rmtree(root)
    except FileNotFoundError:
        return
    # Unreadable folders, or deeper than the longest path: the tools handle both.
    except (OSError, RecursionError):
        for command in (["chmod", "-R", "u+rwX", "--", str(root)], ["rm", "-rf", "--", str(root)]):
            # their environment is visible in /proc, and ours has secrets
            bare = {"PATH": os.defpath}
            subprocess.run(
                command, check=False, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=bare
            )
