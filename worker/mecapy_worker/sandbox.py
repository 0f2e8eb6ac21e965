"""How a child confines itself: its own folder, limits, an own user where possible, no new privileges, Landlock, seccomp.

`confine` runs in the child, single-threaded, before any user code; it only takes rights away and cannot be undone.
It reports each layer it applied and why another is missing; `pool` decides whether that is enough. Next: `landlock`, `seccomp`.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mecapy_worker import landlock, libc, seccomp

NEEDED = ("no_new_privs", "landlock", "seccomp", "rlimits")
"""Layers without which `strict` refuses to start. The others are `user` (an own uid), `capabilities` and `private_shm`."""

_ADDRESS_SPACE_SPARE_BYTES = 4 << 30


@dataclass(frozen=True, slots=True)
class Confinement:
    """What one child may do. Sizes in bytes; `uid` None: keep the user we are; `filter` empty: no seccomp.

    `search`: the interpreter lies where that uid may not look (a root's home): it keeps CAP_DAC_READ_SEARCH, bounded by Landlock.
    `neighbours`: threads our user runs besides, which count against its limit where a child has neither own user nor own namespace.
    """

    root: Path
    readable: tuple[Path, ...]
    uid: int | None
    memory_bytes: int
    disk_bytes: int
    processes: int
    filter: bytes
    search: bool = False
    neighbours: int = 0


@dataclass(frozen=True, slots=True)
class Layers:
    """What holds a child, and what does not, with the reason."""

    applied: tuple[str, ...]
    missing: dict[str, str]


def confine(rules: Confinement) -> Layers:
    """Apply every layer this machine has, in the order in which each still can be applied."""
    applied: list[str] = []
    missing: dict[str, str] = {}

    def layer(name: str, apply: Callable[[], None]) -> None:
        try:
            apply()
            applied.append(name)
        except (OSError, ValueError) as error:
            missing[name] = str(error)

    _harmless(_visible, _first_to_die)  # the zygote hides itself, and a fork inherits that
    layer("private_shm", lambda: _private_shm(rules.memory_bytes))
    alone = "private_shm" in applied or rules.uid is not None
    layer("rlimits", lambda: _limit(rules, 0 if alone else rules.neighbours))
    keep = libc.CAP_DAC_READ_SEARCH if rules.search else None
    _harmless(lambda: libc.bound_capabilities(keep))
    layer("user", lambda: _own_user(rules))
    layer("capabilities", lambda: libc.drop_capabilities(keep))
    # A change of user clears both: dying with the zygote, and being visible to the watch.
    _harmless(lambda: libc.prctl(libc.PR_SET_PDEATHSIG, 9), _visible)
    layer("no_new_privs", _no_new_privs)
    layer("landlock", lambda: _landlock(rules, private_shm="private_shm" in applied))
    layer("seccomp", lambda: _seccomp(rules.filter))
    return Layers(tuple(applied), missing)


def _harmless(*steps: Callable[[], object]) -> None:
    for step in steps:
        try:
            step()
        except OSError:
            continue


def _visible() -> None:
    libc.prctl(libc.PR_SET_DUMPABLE, 1)


def _first_to_die() -> None:
    """When the machine runs out of memory, the kernel takes a child and not the worker."""
    Path("/proc/self/oom_score_adj").write_text("600")


def _private_shm(size_bytes: int) -> None:
    """An own /dev/shm: nobody else sees it, its size is bounded, and it vanishes with the child."""
    uid, gid = os.geteuid(), os.getegid()
    libc.unshare(libc.CLONE_NEWNS | libc.CLONE_NEWIPC | (libc.CLONE_NEWUSER if uid else 0))
    if uid:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1")
    libc.mount("none", "/", "", libc.MS_REC | libc.MS_SLAVE)
    flags = libc.MS_NOSUID | libc.MS_NODEV | libc.MS_NOEXEC
    libc.mount("tmpfs", "/dev/shm", "tmpfs", flags, f"size={size_bytes},nr_inodes=10000,mode=1777")


def _limit(rules: Confinement, neighbours: int) -> None:
    base_bytes = _data_bytes()
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_DATA, base_bytes + rules.memory_bytes)
    _lower(resource.RLIMIT_AS, 4 * rules.memory_bytes + _ADDRESS_SPACE_SPARE_BYTES)
    _lower(resource.RLIMIT_FSIZE, rules.disk_bytes)
    _lower(resource.RLIMIT_NOFILE, 4096)
    # Counts threads too, so it leaves room for them: what keeps a fork bomb small until the watch, which is precise, sees it.
    _lower(resource.RLIMIT_NPROC, 4 * rules.processes + (os.cpu_count() or 1) ** 2 + neighbours)


def _lower(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))


def _data_bytes() -> int:
    """What the zygote's image already counts as data, so that the limit is for the task alone."""
    if not libc.LINUX:
        return 0
    with Path("/proc/self/status").open() as status:
        return next((int(line.split()[1]) * 1024 for line in status if line.startswith("VmData")), 0)


def _own_user(rules: Confinement) -> None:
    if rules.uid is None:
        raise OSError("only root can give each child a user of its own" if os.geteuid() else "no other user could read the interpreter")
    if rules.search:
        libc.keep_capabilities_once()
    become(rules.uid)


def become(uid: int) -> None:
    """Be that user from here on, with no groups but its own."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def _no_new_privs() -> None:
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)


def _landlock(rules: Confinement, *, private_shm: bool) -> None:
    if landlock.version() == 0:
        raise OSError("this kernel has no Landlock")
    shm = landlock.WRITE if private_shm else landlock.NO_LISTING
    writable = [(rules.root, landlock.WRITE), (Path("/dev/null"), landlock.WRITE), (Path("/dev/shm"), shm)]
    landlock.restrict([*((path, landlock.READ) for path in rules.readable), *writable])


def _seccomp(code: bytes) -> None:
    if not code:
        raise OSError(f"no seccomp filter for {sys.platform} on {libc.MACHINE}")
    seccomp.install(code)
