"""Shared memory without a file, where no control group counts a child's memory.

Only files of its own /dev/shm can be counted there, so `mmap.mmap(-1, n)` maps a deleted one.
Installed in the zygote; seccomp stops whatever bypasses it.
"""

from __future__ import annotations

import errno
import mmap as module
import os

_SHARED_ACCESS = (module.ACCESS_READ, module.ACCESS_WRITE)
folder = "/dev/shm"
"""The folder of these files; a child without its own /dev/shm uses its own folder."""


class mmap(module.mmap):
    __slots__ = ()
    __doc__ = module.mmap.__doc__
    __module__ = "mmap"

    def __new__(
        cls,
        fileno: int,
        length: int,
        flags: int = module.MAP_SHARED,
        prot: int = module.PROT_WRITE | module.PROT_READ,
        access: int = module.ACCESS_DEFAULT,
        offset: int = 0,
        **more: bool,
    ) -> mmap:
        shared = access in _SHARED_ACCESS or (
            access == module.ACCESS_DEFAULT and flags & module.MAP_SHARED
        )
        if fileno != -1 or length <= 0 or not shared:
            return super().__new__(cls, fileno, length, flags, prot, access, offset, **more)
        fd = _file_of(offset + length)
        try:
            flags &= ~module.MAP_ANONYMOUS
            return super().__new__(cls, fd, length, flags, prot, access, offset)
        finally:
            os.close(fd)


def install() -> None:
    module.mmap = mmap


def _file_of(size_bytes: int) -> int:
    about = os.statvfs(folder)
    if size_bytes > about.f_bavail * about.f_frsize:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    fd = os.open(folder, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        os.truncate(fd, size_bytes)
    except BaseException:
        os.close(fd)
        raise
    return fd
