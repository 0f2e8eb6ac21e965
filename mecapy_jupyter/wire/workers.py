"""What a worker says of itself, and what is installed on the workers."""

from __future__ import annotations

from dataclasses import dataclass, field

from mecapy_jupyter.wire.defaults import POOL
from mecapy_jupyter.wire.json_fields import JsonObject, mapping
from mecapy_jupyter.wire.shape import OPTIONAL, Shape, read, write

FOLDER_BYTES, FOLDER_FILES = 20_000_000, 1_000
"""How much of a notebook's folder travels automatically, unless MECAPY_FOLDER_BYTES or _FILES is
set.
"""


@dataclass(frozen=True, slots=True)
class ConfinementInfo(Shape):
    """The layers that confine a task there. `level`: strict, partial or none; `missing`: layer →
    why; `through`: attacks that succeeded when it was tried; `landlock`: its version, 0 for none.
    """

    level: str = "none"
    layers: tuple[str, ...] = ()
    missing: dict[str, str] = field(default_factory=dict[str, str])
    through: tuple[str, ...] = ()
    landlock: int = 0


@dataclass(frozen=True, slots=True)
class WorkerInfo(Shape):
    """A worker that lives, as `GET /workers` shows it. An older one may not say everything.

    `running`: tasks it runs now, None: not said. `health`: part → what is wrong with it and what to
    do. `network`: what its tasks may reach; None: everything, or not said. `draining`: it is to
    take no more tasks, which the gateway says; `drained`: and nothing runs any more. `machine`: its
    id in the fleet; "": somebody started it by hand. `cpus`, `memory_bytes`: what one task may use.
    """

    id: str = ""
    host: str = ""
    pid: int = 0
    version: str = ""
    slots: int = 1
    running: int | None = field(default=None, metadata=OPTIONAL)
    python: str = ""
    packages: dict[str, str] = field(default_factory=dict[str, str])
    network: tuple[str, ...] | None = None
    confinement: ConfinementInfo | None = field(default=None, metadata=OPTIONAL)
    health: dict[str, str] = field(default_factory=dict[str, str], metadata=OPTIONAL)
    draining: bool = field(default=False, metadata=OPTIONAL)
    drained: bool = field(default=False, metadata=OPTIONAL)
    machine: str = field(default="", metadata=OPTIONAL)
    machine_class: str = field(default=POOL, metadata=OPTIONAL)
    cpus: int = field(default=0, metadata=OPTIONAL)
    memory_bytes: int = field(default=0, metadata=OPTIONAL)

    def as_json(self) -> JsonObject:
        """The `info` of the worker's row, without its id."""
        info = write(self)
        del info["id"]
        if self.network is None:
            info["network"] = "open"
        return info

    @classmethod
    def from_json(cls, data: JsonObject) -> WorkerInfo:
        """Made from a row of `GET /workers`: `{"id", "info": {…}}`."""
        own: JsonObject = {"id": data.get("id"), "draining": data.get("draining")}
        return read(cls, mapping(data, "info") | own)


@dataclass(frozen=True, slots=True)
class Distribution(Shape):
    """An installed distribution, and its versions: several where workers differ."""

    name: str
    versions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InstalledPackages(Shape):
    """The answer of `GET /workers/packages`: the workers' Python versions ("3.12"), and module →
    the distribution it is of, for what all of them have. Empty while no worker has reported.
    `folder_bytes`, `folder_files`: how much of a notebook's folder may travel automatically.
    `adds`: which packages a task may add (MECAPY_PACKAGES): off, list or any.
    """

    python: tuple[str, ...] = ()
    packages: dict[str, Distribution] = field(default_factory=dict[str, Distribution])
    folder_bytes: int = FOLDER_BYTES
    folder_files: int = FOLDER_FILES
    adds: str = "off"

    def as_json(self) -> JsonObject:
        shown = write(self)
        shown["packages"] = {
            module: [one.name, *one.versions] for module, one in self.packages.items()
        }
        return shown

    @classmethod
    def from_json(cls, data: JsonObject) -> InstalledPackages:
        packages: JsonObject = {
            module: {"name": listed[0], "versions": listed[1:]}
            for module, listed in mapping(data, "packages").items()
            if isinstance(listed, list) and listed
        }
        return read(cls, {**data, "packages": packages})
