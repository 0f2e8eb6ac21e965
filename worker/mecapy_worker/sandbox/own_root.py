"""A root folder that contains only what children may read, because Landlock does not prevent a look
whether a file exists, how large it is, or when it changed. The zygote enters it once, and forks
inherit it; each child then hides the folders of the others (`hide_others`). A process that still
needs the machine's files must not enter either.
"""

from __future__ import annotations

import os
import stat
from collections import deque
from collections.abc import Iterable
from pathlib import Path

from mecapy_worker.sandbox.pid_namespaces import tried
from mecapy_worker.shared import libc

_NEW, _OLD = "root", ".old"
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_LINKS = (("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2"))
_QUIET = libc.MS_NOSUID | libc.MS_NODEV | libc.MS_NOEXEC


def enter(readable: Iterable[Path], base: str) -> str:
    """Why this machine allows none, found by trying it in a fork; empty if we are now in it.
    `base`: the folder of the children's folders.
    """
    paths = [Path(base), *readable]

    def build() -> None:
        _build(paths, base)

    if code := tried(build):
        return f"no root folder of its own can be made here: {os.strerror(code)}"
    build()
    return ""


def hide_others(root: str) -> None:
    """In a child with a mount namespace: only its own folder remains in the folder of all
    children's folders.
    """
    own = libc.open_tree(root)
    try:
        libc.mount("tmpfs", os.path.dirname(root), "tmpfs", _QUIET, "size=64k,nr_inodes=4,mode=755")  # noqa: PTH120 (no pathlib in a child)
        os.mkdir(root)  # noqa: PTH102
        libc.move_mount(own, root)
    finally:
        os.close(own)


def _build(paths: Iterable[Path], base: str) -> None:
    here, new = Path.cwd(), Path(base, _NEW)
    mask = os.umask(0o022)
    libc.unshare(libc.CLONE_NEWNS)
    libc.mount("none", "/", "", libc.MS_REC | libc.MS_PRIVATE)
    new.mkdir(exist_ok=True)
    libc.mount("tmpfs", str(new), "tmpfs", libc.MS_NOSUID | libc.MS_NODEV, "size=1m,mode=755")
    placed: set[Path] = set()
    for path in (Path("/proc"), *map(Path, _DEVICES), Path("/dev/shm"), *paths):
        _place(path, new, placed)
    for name, target in _LINKS:
        (new / "dev" / name).symlink_to(f"/proc/self/{target}")
    (new / "tmp").mkdir(exist_ok=True)
    (new / _OLD).mkdir()
    libc.pivot_root(str(new), str(new / _OLD))
    os.chdir("/")
    libc.unmount(f"/{_OLD}")
    Path("/", _OLD).rmdir()
    os.chdir(here)
    os.umask(mask)


def _place(path: Path, new: Path, placed: set[Path]) -> None:
    """Make a path in the new root the same as here, with every link on the way."""
    here, left = Path("/"), deque(path.parts[1:])
    while left:
        name = left.popleft()
        if name == "..":
            here = here.parent
            continue
        here /= name
        there = new / here.relative_to("/")
        if here in placed:
            return
        kind = here.lstat().st_mode
        if stat.S_ISLNK(kind):
            target = here.readlink()
            if not there.is_symlink():
                there.symlink_to(target)
            here = Path("/") if target.is_absolute() else here.parent
            left.extendleft(reversed(target.parts[1:] if target.is_absolute() else target.parts))
        elif left:
            there.mkdir(exist_ok=True)
        else:
            _bind(here, there, is_folder=stat.S_ISDIR(kind))
            placed.add(here)


def _bind(here: Path, there: Path, *, is_folder: bool) -> None:
    if is_folder:
        there.mkdir(exist_ok=True)
    else:
        there.touch()
    libc.mount(str(here), str(there), "", libc.MS_BIND | libc.MS_REC)
