"""Becomes another program that ends when its parent does. Run as a script (`python -I -S launch.py
…`), never imported.

Where the parent is root it may also lower itself to another user first: PostgreSQL refuses to run
as root. It then keeps the one capability that lets it walk through folders which only root may
enter (its own data may lie below /root). Standard library only: it stands between every component
and its start.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG, _PR_SET_KEEPCAPS, _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE = 1, 8, 47, 2
_PR_SET_SECUREBITS, _NO_SETUID_FIXUP = 28, 1 << 2
_CAP_DAC_READ_SEARCH = 2
_CAPABILITY_VERSION_3 = 0x20080522


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--parent", type=int, default=0, help="the process to end with; 0: none")
    parser.add_argument("--signal", type=int, default=signal.SIGKILL)
    parser.add_argument("--user", type=int, default=0)
    parser.add_argument("--group", type=int, default=0)
    parser.add_argument("argv", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    libc = ctypes.CDLL(None, use_errno=True)
    if options.user:
        _become(libc, options.user, options.group)
    if options.parent and sys.platform == "linux":
        # After the change of user, which would clear it.
        libc.prctl(_PR_SET_PDEATHSIG, options.signal, 0, 0, 0)
        if os.getppid() != options.parent:  # it died before we could ask for its death signal
            sys.exit(1)
    argv = options.argv[1:] if options.argv[:1] == ["--"] else options.argv
    os.execv(argv[0], argv)


def _become(libc: ctypes.CDLL, user: int, group: int) -> None:
    if sys.platform == "linux":
        libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
        # Else access(2), by which initdb looks for postgres, ignores the capability that is kept.
        libc.prctl(_PR_SET_SECUREBITS, _NO_SETUID_FIXUP, 0, 0, 0)
    # A user namespace may forbid it; then there are none to drop.
    with contextlib.suppress(PermissionError):
        os.setgroups([])
    os.setgid(group)
    os.setuid(user)
    if sys.platform == "linux":
        _keep_search(libc)


def _keep_search(libc: ctypes.CDLL) -> None:
    """Permitted, effective, inheritable and ambient: CAP_DAC_READ_SEARCH alone. Where root lacks
    it, there is nothing to keep.
    """
    mask = 1 << _CAP_DAC_READ_SEARCH
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)(mask, mask, mask, 0, 0, 0)
    if libc.capset(header, sets) == 0:
        libc.prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_RAISE, _CAP_DAC_READ_SEARCH, 0, 0)


if __name__ == "__main__":
    main()
