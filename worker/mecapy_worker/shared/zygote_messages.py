"""Every message between worker and zygote, with its defaults: made and read here alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from mecapy_worker.shared.messages import Message


@dataclass(frozen=True, slots=True)
class StartZygote(Message):
    """The first message to a zygote. Sizes are for one child with all it starts; `shared`: its
    home; `base`, `environments`: the folders in which children have theirs, and their packages;
    `learned`: imported after `preload`; `devices`: of which a child may get some.
    """

    tag: ClassVar[str] = "start"
    child_module: str
    base: str
    shared: str
    worker_pid: int
    memory_bytes: int
    disk_bytes: int
    processes: int
    preload: tuple[str, ...] = ()
    python_path: tuple[str, ...] = ()
    learned: tuple[str, ...] = ()
    readable: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    environments: str = ""
    egress: bool = False
    memory_counted: bool = False


@dataclass(frozen=True, slots=True)
class ZygoteReady(Message):
    """`packages`: versions of what it preloaded; `threads`: its own, more than one is a risk at
    every fork; `own_user`: whether each child gets a user of its own; `landlock`: its version, 0
    for none; `fonts`: names of matplotlib's lists of fonts; `loaded`: top-level modules.
    """

    tag: ClassVar[str] = "zygote_ready"
    python: str = ""
    packages: dict[str, str] = field(default_factory=dict[str, str])
    threads: int = 1
    own_user: bool = False
    landlock: int = 0
    fonts: tuple[str, ...] = ()
    loaded: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ZygoteBroken(Message):
    """It could not start, and ends."""

    tag: ClassVar[str] = "zygote_broken"
    error: str = ""


@dataclass(frozen=True, slots=True)
class ForkChild(Message):
    """Comes with its descriptors: channel, stdout, stderr, egress socket if any. `warm`: it runs a
    warm-up task. `environment`: a folder of packages; `ahead`: what it imports, once confined;
    `gpu`: its name, `devices`: its files.
    """

    tag: ClassVar[str] = "fork"
    id: str
    module: str
    root: str
    uid: int | None = None
    warm: bool = True
    environment: str = ""
    ahead: tuple[str, ...] = ()
    gpu: str = ""
    devices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class KillChild(Message):
    """The child and everything it started."""

    tag: ClassVar[str] = "kill"
    id: str


@dataclass(frozen=True, slots=True)
class SignalChild(Message):
    """The child's main thread alone."""

    tag: ClassVar[str] = "signal"
    id: str
    number: int


@dataclass(frozen=True, slots=True)
class ChildForked(Message):
    tag: ClassVar[str] = "forked"
    id: str
    pid: int


@dataclass(frozen=True, slots=True)
class ForkFailed(Message):
    tag: ClassVar[str] = "fork_failed"
    id: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class ChildExited(Message):
    """It is dead with all it started, and reaped. Either `code` or `signal` stands."""

    tag: ClassVar[str] = "child_exited"
    id: str
    code: int | None = None
    signal: int | None = None
