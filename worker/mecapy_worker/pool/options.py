"""Options of a pool, and its report on the confinement of children."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mecapy_worker.pool.gpus import Gpu

NEEDED = {
    "no_new_privs": "let prctl(2) through in the container's seccomp profile",
    "landlock": "use a kernel with Landlock (5.13 or newer, booted with it in lsm=) and a "
    "container runtime that lets its calls through "
    "(gVisor has none)",
    "seccomp": "use a kernel with seccomp filters, on x86_64 or aarch64",
    "rlimits": "let setrlimit(2) and prlimit64(2) through in the container's seccomp profile",
}
"""The layers that `strict` requires, with advice. The others (`pid_namespace`, `private_shm`,
`user`, …) are optional.
"""


MOST_NESTS = 4
"""Sets of spare children beside the usual ones."""


class TooWeak(RuntimeError):
    """`strict` is set, and this machine cannot confine a child enough."""


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """Options of a pool. Sizes are for one child with its processes; `readable` and `python_path`
    are added to what it may read; `egress`: children have an egress socket; `environments`: the
    folder of what tasks add; `gpus`: each child gets one, and waits for it.
    """

    scratch: Path
    spares: int = 1
    preload: tuple[str, ...] = ()
    sandbox: str = "best-effort"  # or "strict"
    memory_bytes: int = 4 << 30
    disk_bytes: int = 8 << 30
    processes: int = 256
    child_module: str = "mecapy_worker.child.child"
    frame_bytes: int = 128 << 20
    readable: tuple[Path, ...] = ()
    python_path: tuple[Path, ...] = ()
    egress: bool = False
    environments: Path | None = None
    gpus: tuple[Gpu, ...] = ()


@dataclass(frozen=True, slots=True)
class ConfinementReport:
    """The confinement on this machine. `missing`: layers and reasons; `through`: attacks of the
    probe that succeeded; `landlock`: its version, 0 for none.
    """

    level: str  # "strict", "partial" or "none"
    layers: tuple[str, ...]
    missing: dict[str, str]
    through: tuple[str, ...]
    landlock: int
    python: str
    packages: dict[str, str]
    threads: int  # of the zygote; more than one is a risk at every fork

    def lacking(self) -> str:
        """What keeps it from `strict`."""
        return lacking(self.missing, self.through)

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def lacking(missing: Mapping[str, str], through: Iterable[str] = ()) -> str:
    """Each required layer that is missing, with reason and advice, and the attacks that
    succeeded.
    """
    problems = [
        f"{name} is missing ({missing[name]}): {advice}."
        for name, advice in NEEDED.items()
        if name in missing
    ]
    if attacks := ", ".join(through):
        problems.append(f"Attacks that succeeded in the probe: {attacks}.")
    return " ".join(problems)


def too_weak(lacking: str) -> TooWeak:
    return TooWeak(
        f"MECAPY_SANDBOX=strict, but here a task cannot be confined well enough. {lacking} "
        "Or set MECAPY_SANDBOX=best-effort, if you trust everybody who may submit tasks."
    )
