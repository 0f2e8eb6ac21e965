"""The few kernel calls Python has no name for, by ctypes. Knows nothing of policy; `sandbox`, `landlock` and `seccomp` decide.

Importable everywhere; on systems other than Linux every call raises OSError(ENOSYS).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import sys

LINUX = sys.platform == "linux"
MACHINE = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_SECCOMP = 1, 4, 24, 22
PR_SET_KEEPCAPS, PR_CAP_AMBIENT_RAISE, CAP_DAC_READ_SEARCH = 8, 2, 2
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 36, 38, 47

CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWUSER = 0x00020000, 0x08000000, 0x10000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_SLAVE = 2, 4, 8, 0x4000, 0x80000

_libc = ctypes.CDLL(None, use_errno=True)


def _checked(result: int, what: str) -> int:
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return result


def _function(name: str) -> ctypes.CDLL:
    if not LINUX:
        raise OSError(errno.ENOSYS, f"{name} exists on Linux only")
    return _libc


def prctl(option: int, *arguments: int) -> int:
    padded = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[:4]]
    return _checked(_function("prctl").prctl(ctypes.c_int(option), *padded), f"prctl({option})")


def syscall(number: int, *arguments: int) -> int:
    """A raw system call; addresses are passed as numbers (`ctypes.addressof`)."""
    return _checked(
        _function("syscall").syscall(ctypes.c_long(number), *(ctypes.c_ulong(value) for value in arguments)), f"syscall {number}"
    )


def madvise(address: int, size_bytes: int, advice: int) -> None:
    arguments = (ctypes.c_void_p(address), ctypes.c_size_t(size_bytes), ctypes.c_int(advice))
    _checked(_function("madvise").madvise(*arguments), f"madvise({advice})")


def unshare(flags: int) -> None:
    _checked(_function("unshare").unshare(ctypes.c_int(flags)), "unshare")


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    text = (source.encode(), target.encode(), kind.encode() or None)
    _checked(_function("mount").mount(*text, ctypes.c_ulong(flags), options.encode() or None), f"mount {target}")


def keep_capabilities_once() -> None:
    """Let the next change of user keep what is permitted, so that `drop_capabilities` can keep one."""
    prctl(PR_SET_KEEPCAPS, 1)


def bound_capabilities(keep: int | None = None) -> None:
    """Make every capability but `keep` one that can never be gained again. Comes before a change of user, after which it is not allowed."""
    for capability in range(64):
        try:
            if capability != keep:
                prctl(PR_CAPBSET_DROP, capability)
        except OSError:
            break  # EINVAL: past the last one this kernel knows; EPERM: we hold none that could drop them


def drop_capabilities(keep: int | None = None) -> None:
    """Give up every capability but `keep`."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)(*[0 if keep is None else 1 << keep] * 3)  # effective, permitted, inheritable
    _checked(_function("capset").capset(ctypes.byref(header), ctypes.byref(data)), "capset")
    if keep is not None:
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, keep)  # programs the child starts have it too


def pids() -> set[int]:
    """Every process there is; none where there is no /proc."""
    return {int(name) for name in os.listdir("/proc") if name.isdigit()} if LINUX else set()  # noqa: PTH208 (names are enough, and often)
