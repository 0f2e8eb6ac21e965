"""Users for children of a root worker: no two live children have the same one, other root workers
included. Each used uid is a locked byte of one file; Linux releases the locks when a worker dies.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import random
import struct
from pathlib import Path

from mecapy_worker.zygote import host_capabilities

_LOCKS = Path("/run/mecapy-uids")
_SET_LOCK: int | None = getattr(fcntl, "F_OFD_SETLK", None)  # Linux only


class Uids:
    """`locks`: shared by workers of this machine; without it each uses its own."""

    def __init__(self, locks: Path = _LOCKS) -> None:
        self._base = random.randrange(host_capabilities.UIDS)
        self._taken: dict[str, int] = {}
        self._file: int | None = None
        if os.geteuid() == 0 and _SET_LOCK is not None:
            with contextlib.suppress(OSError):  # a read-only root folder
                flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
                self._file = os.open(locks, flags, 0o600)

    def take(self, name: str, number: int) -> int:
        """Take a user for the child of this name, the n-th. The numbers repeat, and a child may
        live long. Raises OSError when all are taken.
        """
        numbers = itertools.islice(itertools.count(number), host_capabilities.UIDS)
        for uid in (host_capabilities.unprivileged_uid(one, self._base) for one in numbers):
            if uid not in self._taken.values() and self._lock(uid, fcntl.F_WRLCK):
                self._taken[name] = uid
                return uid
        raise OSError("every user for children of this machine is taken")

    def give_back(self, name: str) -> None:
        """All processes of that child are dead."""
        if (uid := self._taken.pop(name, None)) is not None:
            self._lock(uid, fcntl.F_UNLCK)

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _lock(self, uid: int, kind: int) -> bool:
        """False: another worker's child has it."""
        if self._file is None or _SET_LOCK is None:
            return True
        try:  # struct flock: of this open file, not of the process, which may have several pools
            fcntl.fcntl(self._file, _SET_LOCK, struct.pack("hhqqi4x", kind, os.SEEK_SET, uid, 1, 0))
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks
            return True
        return True
