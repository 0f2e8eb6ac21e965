"""What this machine allows a child: readable paths, users, existing system calls. Found once, in
the zygote, before the first fork; each child's `sandbox.Confinement` has the answers.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from pathlib import Path

from mecapy_worker.sandbox import landlock, seccomp
from mecapy_worker.sandbox.confine import become
from mecapy_worker.shared import libc

_SYSTEM_READ = (
    *("/usr", "/lib", "/lib64", "/lib32", "/bin", "/sbin", "/nix/store"),
    *("/sys/devices/system", "/sys/fs/cgroup", "/sys/kernel/mm/transparent_hugepage"),
    *(
        "/dev/urandom",
        "/dev/random",
        "/dev/zero",
        "/dev/full",
        "/var/cache/fontconfig",
        "/var/lib/texmf",
    ),
    *(
        "/etc/ld.so.cache",
        "/etc/ld.so.conf",
        "/etc/ld.so.conf.d",
        "/etc/localtime",
        "/etc/timezone",
        "/etc/fonts",
        "/etc/texmf",
    ),
    *(
        "/etc/ssl",
        "/etc/pki",
        "/etc/ca-certificates",
        "/etc/alternatives",
        "/etc/passwd",
        "/etc/group",
        "/etc/nsswitch.conf",
    ),
    *("/etc/hosts", "/etc/os-release", "/etc/mime.types", "/etc/magic", "/etc/matplotlibrc"),
)
_FIRST_UID, UIDS = 61184, 4096  # a range no distribution hands to people or services for good


def readable_paths(extra: Iterable[Path] = ()) -> tuple[Path, ...]:
    """What a child may read besides its folder: the interpreter, its packages, the system's
    libraries. Never the scratch of others.
    """
    paths = [
        Path(text)
        for text in (
            *_SYSTEM_READ,
            sys.prefix,
            sys.base_prefix,
            sys.exec_prefix,
            *filter(None, sys.path),
        )
    ]
    # An editable install lies outside of every prefix.
    for name in ("mecapy_jupyter", "mecapy_worker"):
        spec = find_spec(name)
        paths += [Path(place) for place in (spec and spec.submodule_search_locations) or ()]
    return tuple(
        dict.fromkeys(path for path in (*paths, *extra) if path != Path("/") and path.exists())
    )


def shared_rules(readable: Iterable[Path]) -> tuple[landlock.PathRule, ...]:
    """Landlock rules of what every child may reach; opened once, because a child would spend a
    third of its confinement on it.
    """
    if landlock.version() == 0:
        return ()
    rules = [landlock.opened(path, landlock.READ) for path in readable]
    return tuple(
        rule for rule in (*rules, landlock.opened(Path("/dev/null"), landlock.WRITE)) if rule
    )


def unprivileged_uid(number: int, base: int) -> int:
    """The uid of the n-th child. Neighbours differ, so that one child's leftovers never belong to
    the next.
    """
    return _FIRST_UID + (base + number) % UIDS


def usable_by(uid: int, paths: Iterable[Path], passed: Path) -> bool:
    """Whether a process of that user could read these paths and pass through `passed`; a fork that
    becomes that user asks the kernel.
    """
    pid = os.fork()
    if pid == 0:
        try:
            become(uid)
            os._exit(
                0
                if os.access(passed, os.X_OK)
                and all(
                    os.access(path, os.R_OK | (os.X_OK if path.is_dir() else 0)) for path in paths
                )
                else 1
            )
        finally:
            os._exit(1)
    return os.waitpid(pid, 0)[1] == 0


def to_shield(worker_pid: int, *, inside: bool) -> tuple[int, ...]:
    """The processes that seccomp protects by number, where neither Landlock nor a PID namespace
    (`inside`) bounds signals: worker and zygote.
    """
    return () if inside or landlock.version() >= 6 else (worker_pid, os.getpid())


def system_calls(shielded: Sequence[int], kind: seccomp.FilterOptions) -> seccomp.Filter | None:
    """The seccomp filter; None if there is none for this machine."""
    try:
        return seccomp.Filter(seccomp.program(shielded, options=kind)) if libc.LINUX else None
    except OSError:
        return None


def usable_by_others(readable: tuple[Path, ...], others: list[Path], base: Path) -> bool:
    """As root: whether an unprivileged user could run the interpreter and reach a folder in
    `base`.
    """
    if os.geteuid() != 0:
        return False
    ours = [
        path
        for path in readable
        if path.is_relative_to(sys.prefix) or path == Path(__file__).parents[1]
    ]
    return usable_by(
        unprivileged_uid(0, 0),
        [Path(sys.executable).resolve(), Path(os.__file__), *ours, *others],
        base,
    )


def threads_of(uid: int) -> int:
    """How many threads this user runs now."""
    count = 0
    for pid in libc.pids():
        with contextlib.suppress(OSError):
            status = dict(
                line.split(":", 1)
                for line in Path(f"/proc/{pid}/status").read_text(errors="replace").splitlines()
                if ":" in line
            )
            count += int(status["Threads"]) if int(status["Uid"].split()[0]) == uid else 0
    return count


def data_bytes() -> int:
    """The size of this process's data now, which each of its children begins with."""
    if not libc.LINUX:
        return 0
    with Path("/proc/self/status").open() as status:
        return next(
            (int(line.split()[1]) * 1024 for line in status if line.startswith("VmData")), 0
        )


def own_threads() -> int:
    """How many threads this process has."""
    return len(list(Path("/proc/self/task").iterdir())) if libc.LINUX else 1


def loaded() -> tuple[str, ...]:
    """The top-level modules of this process that are not Python's own."""
    names = {name.partition(".")[0] for name in sys.modules}
    return tuple(sorted(names - sys.stdlib_module_names))
