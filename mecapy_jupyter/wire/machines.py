"""Classes of machines and the machines themselves, as the fleet and the gateway show them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from mecapy_jupyter.wire.shape import Shape

WANTED: Final = "wanted"
BOOTING: Final = "booting"
SERVING: Final = "serving"
DRAINING: Final = "draining"
STOPPING: Final = "stopping"
GONE: Final = "gone"
MachineState = Literal["wanted", "booting", "serving", "draining", "stopping", "gone"]
"""`wanted`: recorded, perhaps not requested from the provider yet."""


ANY_GPU = "any"
"""A GPU of whatever type."""


@dataclass(frozen=True, slots=True)
class Resources(Shape):
    """What a task asks for, 0 or "": nothing. `gpu`: a type, or ANY_GPU; `machine`: a class."""

    cpus: float = 0.0
    memory_bytes: int = 0
    gpu: str = ""
    machine: str = ""


@dataclass(frozen=True, slots=True)
class ClassInfo(Shape):
    """A class of machines. `cpus`, `memory_bytes`: for one task, 0: not said. `price`: euros an
    hour. `on_demand`: none may run until a task needs one. `free`: places for tasks now; `queued`:
    tasks that wait for it. `refused`: why its last machine could not start.
    """

    name: str
    cpus: float = 0.0
    memory_bytes: int = 0
    gpu: str = ""
    price: float = 0.0
    provider: str = ""
    on_demand: bool = False
    boot_s: float = 0.0
    min: int = 0
    max: int = 0
    free: int = 0
    queued: int = 0
    refused: str = ""


@dataclass(frozen=True, slots=True)
class MachineInfo(Shape):
    """One machine of the fleet. `worker`: its id once it serves; `why`: of its state."""

    id: str
    machine_class: str = ""
    provider: str = ""
    state: MachineState = WANTED
    worker: str | None = None
    age_s: float = 0.0
    why: str = ""


@dataclass(frozen=True, slots=True)
class MachinesInfo(Shape):
    """The answer of `GET /machines`. `spent_today`: euros since midnight (UTC)."""

    classes: tuple[ClassInfo, ...] = ()
    machines: tuple[MachineInfo, ...] = ()
    spent_today: float = 0.0
