"""How a child confines itself: its folder, limits, a user of its own where possible, no new
privileges, Landlock, seccomp. `confine` runs in the child, single-threaded, before any user code;
it only takes rights away and cannot be undone. It reports each layer that it applied, and why
another is missing; `pool` decides whether that is enough.
"""

from __future__ import annotations

import os
import resource
import sys
from collections.abc import Callable
from dataclasses import dataclass

from mecapy_worker.sandbox import landlock, own_root, pid_namespaces, seccomp
from mecapy_worker.shared import address_space, libc

_WAITING_SIGNALS = 4096  # and timers, each of which takes the kernel's memory


@dataclass(frozen=True, slots=True)
class Confinement:
    """What each child may do. Sizes in bytes; `filter` None: no seccomp. `keeping_filter`: for a
    child that could otherwise change rights and times of the worker's files. `shields`: only the
    filters protect worker and zygote from signals. `shared`: what every child may reach besides its
    folder, opened before; `data_bytes`: the zygote's data, which each child has too.
    `no_pid_namespace`, `no_own_root`, `no_network_namespace`: why it was not born into one, or
    empty. `search`: the interpreter lies where a child's uid may not look (root's home), so the
    child keeps CAP_DAC_READ_SEARCH, bounded by Landlock. `neighbours`: other threads of our user,
    which count against the limit of a child without a user or namespace of its own.
    """

    shared: tuple[landlock.PathRule, ...]
    memory_bytes: int
    disk_bytes: int
    processes: int
    data_bytes: int
    filter: seccomp.Filter | None
    keeping_filter: seccomp.Filter | None
    shields: bool
    no_pid_namespace: str
    no_own_root: str
    no_network_namespace: str
    search: bool = False
    neighbours: int = 0


@dataclass(slots=True)
class _ConfinedChild:
    """One child: its folder, its user (None: ours), the settings of all children, the folder of its
    packages, the devices of its GPU, and the layers applied so far.
    """

    root: str
    uid: int | None
    rules: Confinement
    environment: str
    devices: tuple[str, ...]
    applied: list[str]


@dataclass(frozen=True, slots=True)
class Layers:
    """The layers that confine a child, and the missing ones with the reason."""

    applied: tuple[str, ...]
    missing: dict[str, str]


def confine(
    root: str,
    uid: int | None,
    rules: Confinement,
    environment: str = "",
    devices: tuple[str, ...] = (),
) -> Layers:
    """Apply every layer that this machine has, in the only order in which each can still be
    applied.
    """
    child, missing = _ConfinedChild(root, uid, rules, environment, devices, []), dict[str, str]()
    harmless(_visible)  # the zygote hides itself, and a fork inherits that
    harmless(_first_to_die)
    for name, apply in _LAYERS:
        try:
            apply(child)
            child.applied.append(name)
        except (OSError, ValueError) as error:
            missing[name] = str(error)
        if name == "capabilities":
            # The change of user cleared both: ending with the zygote, and being visible to the
            # limits.
            harmless(libc.prctl, libc.PR_SET_PDEATHSIG, 9)
            harmless(_visible)
    return Layers(tuple(child.applied), missing)


def harmless(step: Callable[..., object], *arguments: object) -> None:
    """Try it; a failure does not matter."""
    # A context manager takes a dozen objects, and here each is a page to copy.
    try:  # noqa: SIM105
        step(*arguments)
    except OSError:
        pass


def _visible() -> None:
    libc.prctl(libc.PR_SET_DUMPABLE, 1)


def _first_to_die() -> None:
    """When the machine runs out of memory, the kernel should end a child and not the worker."""
    _write("/proc/self/oom_score_adj", b"600")


def _write(path: str, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, content)
    finally:
        os.close(fd)


def _pid_namespace(child: _ConfinedChild) -> None:
    """A child born into one still needs a /proc that shows it."""
    if child.rules.no_pid_namespace:
        raise OSError(child.rules.no_pid_namespace)
    pid_namespaces.mount_proc()


def _network_namespace(child: _ConfinedChild) -> None:
    """A child born into one has no way out and cannot read others' connections."""
    if child.rules.no_network_namespace:
        raise OSError(child.rules.no_network_namespace)


def _private_shm(child: _ConfinedChild) -> None:
    """A private /dev/shm: invisible to others, of bounded size, and gone with the child."""
    uid, gid = os.geteuid(), os.getegid()
    own_mounts = "pid_namespace" in child.applied
    libc.unshare(
        libc.CLONE_NEWIPC
        | (libc.CLONE_NEWUSER if uid else 0)
        | (0 if own_mounts and not uid else libc.CLONE_NEWNS)
    )
    if uid:
        pid_namespaces.map_user(uid, gid)
    libc.mount("none", "/", "", libc.MS_REC | libc.MS_SLAVE)
    flags = libc.MS_NOSUID | libc.MS_NODEV | libc.MS_NOEXEC
    libc.mount(
        "tmpfs",
        "/dev/shm",
        "tmpfs",
        flags,
        f"size={child.rules.memory_bytes},nr_inodes=10000,mode=1777",
    )


def _own_root(child: _ConfinedChild) -> None:
    """A child born into a root folder of readable files still sees where the others' folders
    are.
    """
    if child.rules.no_own_root:
        raise OSError(child.rules.no_own_root)
    own_root.hide_others(child.root)


def _read_only(child: _ConfinedChild) -> None:
    """Everything but its folder and its /dev/shm. Landlock does not cover chmod, utime and the
    like, which a file's owner may always use; a child has the worker's user if the worker is not
    root.
    """
    own_shm = "private_shm" in child.applied
    if not own_shm and "pid_namespace" not in child.applied:
        raise OSError("it has no mounts of its own")
    if "own_root" not in child.applied:
        libc.mount(child.root, child.root, "", libc.MS_BIND)
    libc.mount_read_only()
    for place in (child.root, "/dev/shm") if own_shm else (child.root,):
        libc.mount_read_write(place)
    os.chdir(f"{child.root}/work")  # we were inside, as it was mounted before


def _limit(child: _ConfinedChild) -> None:
    rules = child.rules
    neighbours = 0 if "private_shm" in child.applied or child.uid is not None else rules.neighbours
    _lower(resource.RLIMIT_CORE, 0)
    _lower(resource.RLIMIT_DATA, rules.data_bytes + rules.memory_bytes)
    if not child.devices:  # CUDA reserves as much as all memory of the machine and of its GPUs
        _lower(resource.RLIMIT_AS, address_space.limit_for(rules.memory_bytes))
    _lower(resource.RLIMIT_FSIZE, rules.disk_bytes)
    _lower(resource.RLIMIT_NOFILE, 4096)
    _lower(resource.RLIMIT_SIGPENDING, _WAITING_SIGNALS)
    # Counts threads too, so it leaves room for those of numeric libraries. No more, because it
    # bounds a fork bomb.
    _lower(resource.RLIMIT_NPROC, rules.processes + 64 + (os.cpu_count() or 1) ** 2 + neighbours)


def _lower(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))


def _own_user(child: _ConfinedChild) -> None:
    if child.uid is None:
        raise OSError(
            "only root can give each child a user of its own"
            if os.geteuid()
            else "no other user could read the interpreter"
        )
    if child.rules.search:
        libc.keep_capabilities_once()
    become(child.uid)


def become(uid: int) -> None:
    """Change to that user, with only its own group."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def _no_capabilities(child: _ConfinedChild) -> None:
    libc.drop_capabilities(libc.CAP_DAC_READ_SEARCH if child.rules.search else None)


def _no_new_privs(_own: _ConfinedChild) -> None:
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)


def _landlock(child: _ConfinedChild) -> None:
    if landlock.version() == 0:
        raise OSError("this kernel has no Landlock")
    shm = landlock.WRITE if "private_shm" in child.applied else landlock.NO_LISTING
    places = [
        landlock.opened(child.root, landlock.WRITE),
        landlock.opened("/dev/shm", shm),
        landlock.opened("/proc", landlock.READ),
        landlock.opened(child.environment, landlock.READ) if child.environment else None,
        *(landlock.opened(device, landlock.DEVICE) for device in child.devices),
    ]
    landlock.restrict([*child.rules.shared, *filter(None, places)])


def _seccomp(child: _ConfinedChild) -> None:
    theirs_are_safe = "read_only" in child.applied or "user" in child.applied
    filter_ = child.rules.filter if theirs_are_safe else child.rules.keeping_filter
    if filter_ is None:
        raise OSError(f"no seccomp filter for {sys.platform} on {libc.MACHINE}")
    seccomp.install(filter_)
    if child.rules.shields:
        os.kill = seccomp.kill_by_thread


_LAYERS: tuple[tuple[str, Callable[[_ConfinedChild], None]], ...] = (
    ("pid_namespace", _pid_namespace),
    ("network_namespace", _network_namespace),
    ("private_shm", _private_shm),
    ("own_root", _own_root),
    ("read_only", _read_only),
    ("rlimits", _limit),
    ("user", _own_user),
    ("capabilities", _no_capabilities),
    ("no_new_privs", _no_new_privs),
    ("landlock", _landlock),
    ("seccomp", _seccomp),
)
