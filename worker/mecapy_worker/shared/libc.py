"""The few kernel calls that Python does not offer, by ctypes. Contains no policy: `sandbox`,
`landlock` and `seccomp` decide. Importable everywhere; on systems other than Linux every call
raises OSError(ENOSYS).
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import signal
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

LINUX = sys.platform == "linux"
MACHINE = {"amd64": "x86_64", "arm64": "aarch64"}.get(
    platform.machine().lower(), platform.machine().lower()
)

PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_SECCOMP = 1, 4, 24, 22
PR_SET_KEEPCAPS, PR_CAP_AMBIENT_RAISE, CAP_DAC_READ_SEARCH = 8, 2, 2
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 36, 38, 47

CLONE_NEWNS = 0x00020000
CLONE_NEWIPC = 0x08000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_BIND, MS_REC = 2, 4, 8, 0x1000, 0x4000
MS_PRIVATE, MS_SLAVE, CLONE_NEWNET = 0x40000, 0x80000, 0x40000000
_AT_FDCWD, _AT_RECURSIVE, _MOUNT_ATTR_RDONLY = -100, 0x8000, 1

_CLOSE_RANGE, _MOUNT_SETATTR = 436, 442  # the same on every architecture
_CLONE = {"x86_64": 56, "aarch64": 220}
_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
_OPEN_TREE, _MOVE_MOUNT = 428, 429  # the same on every architecture
_OPEN_TREE_CLONE, _MOVE_EMPTY_PATH, _DETACH = 1, 4, 2
_TGKILL = {"x86_64": 234, "aarch64": 131}

_libc = ctypes.CDLL(None, use_errno=True)


_set_handler: Callable[[int, Any], object] = import_module("_signal").signal


def handle(number: int, handler: Callable[..., object] | int) -> object:
    """Set a signal's handler with the function that `signal.signal` wraps: that one looks up enums,
    for which a child would copy pages.
    """
    return _set_handler(number, int(handler) if isinstance(handler, int) else handler)


def _call(name: str, *kinds: Any) -> Callable[..., int]:
    """A function of the C library, with its arguments' types; it raises OSError when it
    fails.
    """
    function: Any = _libc[name] if LINUX else None
    if LINUX:
        function.argtypes = kinds

    def call(*arguments: Any) -> int:
        if not LINUX:
            raise OSError(errno.ENOSYS, f"{name} exists on Linux only")
        result: int = function(*arguments)
        if result < 0:
            code = ctypes.get_errno()
            raise OSError(code, f"{name}{arguments}: {os.strerror(code)}")
        return result

    return call


_prctl = _call("prctl", ctypes.c_int, *[ctypes.c_ulong] * 4)
_syscall = _call("syscall", ctypes.c_long, *[ctypes.c_ulong] * 4)
_mount_setattr = _call(
    "syscall",
    ctypes.c_long,
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_uint,
    ctypes.c_void_p,
    ctypes.c_size_t,
)
_path_call = _call("syscall", ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
_two_paths_call = _call("syscall", ctypes.c_long, ctypes.c_char_p, ctypes.c_char_p)
_move_mount = _call(
    "syscall",
    ctypes.c_long,
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_uint,
)
_umount2 = _call("umount2", ctypes.c_char_p, ctypes.c_int)
_unshare = _call("unshare", ctypes.c_int)
_setns = _call("setns", ctypes.c_int, ctypes.c_int)
_mount = _call(
    "mount", ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p
)
_kill = _call("kill", ctypes.c_int, ctypes.c_int)
_capset = _call("capset", ctypes.c_void_p, ctypes.c_void_p)
_madvise = _call("madvise", ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_mprotect = _call("mprotect", ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
_NOTHING = (0, 0, 0, 0)


def prctl(option: int, *arguments: int) -> int:
    return _prctl(option, *arguments, *_NOTHING[len(arguments) :])


def syscall(number: int, *arguments: int) -> int:
    """A raw system call of up to four arguments; addresses are passed as numbers
    (`ctypes.addressof`).
    """
    return _syscall(number, *arguments, *_NOTHING[len(arguments) :])


def madvise(address: int, size_bytes: int, advice: int) -> None:
    _madvise(address, size_bytes, advice)


def mprotect(address: int, size_bytes: int, rights: int) -> None:
    _mprotect(address, size_bytes, rights)


class _Mallinfo(ctypes.Structure):
    _fields_ = (("others", ctypes.c_size_t * 9), ("keepcost", ctypes.c_size_t))


def fill_heap(smallest: int, largest: int) -> None:
    """Allocate the holes of the C library's heap for good, largest first; free memory is then at
    its end. Glibc only; see mallinfo2(3).
    """
    if not LINUX or not hasattr(_libc, "mallinfo2"):
        return
    malloc, free = _libc.malloc, _libc.free
    malloc.argtypes = free.argtypes = (ctypes.c_size_t,)
    malloc.restype = _libc.sbrk.restype = ctypes.c_size_t
    _libc.mallinfo2.restype = _Mallinfo
    end = _libc.sbrk(0) - _libc.mallinfo2().keepcost
    for size in range(largest, smallest - 1, -16):
        while 0 < (at := malloc(size)) < end:
            pass
        free(at)


def close_range(first: int) -> None:
    """Close every descriptor from `first` on."""
    syscall(_CLOSE_RANGE, first, 0xFFFFFFFF, 0)


def signal_main_thread(pid: int, number: int) -> None:
    """Otherwise the kernel may choose another thread: then a waiting main thread is not woken, and
    `faulthandler` shows the other thread.
    """
    if LINUX and MACHINE in _TGKILL:
        syscall(_TGKILL[MACHINE], pid, pid, number)
    else:
        os.kill(pid, number)


def kill(pid: int, number: int) -> None:
    """kill(2) itself, where `os.kill` may have been replaced."""
    if LINUX:
        _kill(pid, number)
    else:
        os.kill(pid, number)


def unshare(flags: int) -> None:
    _unshare(flags)


def fork_into(namespaces: int) -> int:
    """Fork into new namespaces (CLONE_NEW…). Python does not notice, which matters little for a
    process with one thread that then does next to nothing.
    """
    if MACHINE not in _CLONE:
        raise OSError(errno.ENOSYS, f"the number of clone(2) on {MACHINE} is not known here")
    return syscall(_CLONE[MACHINE], namespaces | signal.SIGCHLD)


def setns(fd: int, kinds: int) -> None:
    _setns(fd, kinds)


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    _mount(source.encode(), target.encode(), kind.encode() or None, flags, options.encode() or None)


def unmount(path: str) -> None:
    """Unmount it for later lookups; processes that are inside stay inside."""
    _umount2(path.encode(), _DETACH)


def pivot_root(new: str, old: str) -> None:
    """Make `new`, a mount, the root folder, and put the previous root at `old`."""
    if MACHINE not in _PIVOT_ROOT:
        raise OSError(errno.ENOSYS, f"the number of pivot_root(2) on {MACHINE} is not known here")
    _two_paths_call(_PIVOT_ROOT[MACHINE], new.encode(), old.encode())


def open_tree(path: str) -> int:
    """A descriptor of a mount of this folder that is not attached yet. Since Linux 5.2."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC
    return _path_call(_OPEN_TREE, _AT_FDCWD, path.encode(), flags)


def move_mount(fd: int, path: str) -> None:
    """Attach that mount here."""
    _move_mount(_MOVE_MOUNT, fd, b"", _AT_FDCWD, path.encode(), _MOVE_EMPTY_PATH)


_READ_ONLY, _READ_WRITE = (
    (ctypes.c_uint64 * 4)(*some) for some in ((_MOUNT_ATTR_RDONLY, 0), (0, _MOUNT_ATTR_RDONLY))
)


def mount_read_only() -> None:
    """Every mount of this mount namespace. Since Linux 5.12."""
    _set_mount("/", _AT_RECURSIVE, _READ_ONLY)


def mount_read_write(path: str) -> None:
    """One mount again."""
    _set_mount(path, 0, _READ_WRITE)


def _set_mount(path: str, flags: int, attributes: ctypes.Array[ctypes.c_uint64]) -> None:
    _mount_setattr(
        _MOUNT_SETATTR,
        _AT_FDCWD,
        path.encode(),
        flags,
        ctypes.addressof(attributes),
        ctypes.sizeof(attributes),
    )


def keep_capabilities_once() -> None:
    """Keep the permitted capabilities at the next change of user, so that `drop_capabilities` can
    keep one.
    """
    prctl(PR_SET_KEEPCAPS, 1)


def bound_capabilities(keep: int | None = None) -> None:
    """Make every capability but `keep` impossible to gain again. Must come before a change of user,
    after which it is not allowed.
    """
    for capability in range(64):
        try:
            if capability != keep:
                prctl(PR_CAPBSET_DROP, capability)
        except OSError:
            # EINVAL: past the last one this kernel knows; EPERM: we hold none that could drop them
            break


_CAPABILITIES_VERSION = (ctypes.c_uint32 * 2)(0x20080522, 0)
_capabilities = (ctypes.c_uint32 * 6)()


def drop_capabilities(keep: int | None = None) -> None:
    """Give up every capability but `keep`."""
    _capabilities[:3] = [0 if keep is None else 1 << keep] * 3  # effective, permitted, inheritable
    _capset(_CAPABILITIES_VERSION, _capabilities)
    if keep is not None:
        prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, keep)  # programs the child starts have it too


def threads() -> list[int]:
    """Those of this process; none where there is no /proc."""
    return [int(name) for name in os.listdir("/proc/self/task")] if LINUX else []  # noqa: PTH208 (as below)


def pids() -> set[int]:
    """Every process there is; none where there is no /proc."""
    # Not iterdir: names are enough, and often.
    return {int(name) for name in os.listdir("/proc") if name.isdigit()} if LINUX else set()  # noqa: PTH208
