"""The GPUs of this machine. A task has one to itself: its device file, and no other's, and the
name of it in CUDA_VISIBLE_DEVICES.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mecapy_jupyter.shared.errors import ConfigError

VISIBLE = "CUDA_VISIBLE_DEVICES"
_OWN = re.compile(r"nvidia(\d+)")
_SHARED = ("nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset", "nvidia-caps")


@dataclass(frozen=True, slots=True)
class Gpu:
    """`name`: as CUDA_VISIBLE_DEVICES takes it; `devices`: all that its task may open."""

    name: str
    devices: tuple[str, ...]


def usable(
    slots: int,
    folder: Path = Path("/dev"),
    about: Path = Path("/proc/driver/nvidia/gpus"),
    visible: str | None = None,
) -> tuple[Gpu, ...]:
    """Those that this process may use; `visible`: what CUDA_VISIBLE_DEVICES says, by number or
    name. ConfigError where there are fewer than `slots`.
    """
    shared = tuple(str(folder / name) for name in _SHARED if (folder / name).exists())
    numbers = sorted(int(found[1]) for one in folder.iterdir() if (found := _match(one)))
    names = _names(about)
    found = [
        Gpu(names.get(number, str(number)), (str(folder / f"nvidia{number}"), *shared))
        for number in numbers
        if _opens(folder / f"nvidia{number}")
    ]
    found = _chosen(found, os.environ.get(VISIBLE) if visible is None else visible)
    if len(found) < slots:
        raise ConfigError(
            f"MECAPY_GPUS=all, and {len(found)} GPUs can be used here ({folder}/nvidia0, …) for "
            f"MECAPY_WORKER_SLOTS={slots}: each task needs one. See that the driver is "
            "loaded, and that the container was started with its GPUs"
        )
    return tuple(found)


def _match(path: Path) -> re.Match[str] | None:
    return _OWN.fullmatch(path.name)


def _opens(path: Path) -> bool:
    """An engine (Slurm) shows all of a machine's, and lets a job open its own."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
    except OSError:
        return False
    return True


def _names(about: Path) -> dict[int, str]:
    """Minor number → UUID, which means the same however many a process sees."""
    found = dict[int, str]()
    for path in about.glob("*/information"):
        parts = (line.partition(":") for line in path.read_text().splitlines())
        lines = {key.strip(): value.strip() for key, _, value in parts}
        minor, name = lines.get("Device Minor", ""), lines.get("GPU UUID", "")
        if minor.isdigit() and name.startswith("GPU-") and "?" not in name:
            found[int(minor)] = name
    return found


def _chosen(found: Sequence[Gpu], visible: str | None) -> list[Gpu]:
    if not visible:
        return list(found)
    wanted = [word.strip() for word in visible.split(",")]
    return [gpu for number, gpu in enumerate(found) if str(number) in wanted or gpu.name in wanted]
