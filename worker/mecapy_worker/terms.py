"""What a pool is asked for, and what it answers: options, and the report on how children are held here."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


class TooWeak(RuntimeError):
    """`strict` was asked for, and this machine cannot confine a child that far."""


@dataclass(frozen=True, slots=True)
class PoolOptions:
    """What a pool is to be. Sizes are for one child with all it starts; `readable` and `python_path` are added to what it may read."""

    scratch: Path
    spares: int = 1
    preload: tuple[str, ...] = ()
    sandbox: str = "best-effort"  # or "strict"
    memory_bytes: int = 4 << 30
    disk_bytes: int = 8 << 30
    processes: int = 256
    child_module: str = "mecapy_worker.child"
    frame_bytes: int = 128 << 20
    readable: tuple[Path, ...] = ()
    python_path: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """What holds a child on this machine. `missing`: layers and why; `through`: attacks of the probe that were not stopped."""

    level: str  # "strict", "partial" or "none"
    layers: tuple[str, ...]
    missing: dict[str, str]
    through: tuple[str, ...]
    python: str
    packages: dict[str, str]
    threads: int  # of the zygote; more than one is a risk at every fork

    def as_json(self) -> dict[str, Any]:
        return asdict(self)
