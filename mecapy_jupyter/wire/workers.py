"""What a worker says of itself, and what is installed on the workers."""

from __future__ import annotations

from dataclasses import dataclass, field

from mecapy_jupyter.wire import json_fields as fields
from mecapy_jupyter.wire.json_fields import JsonObject

FOLDER_BYTES, FOLDER_FILES = 20_000_000, 1_000
"""Of a notebook's folder so much travels by itself, unless MECAPY_FOLDER_BYTES or _FILES differ."""


@dataclass(frozen=True, slots=True)
class ConfinementInfo:
    """Which layers hold a task there. `level`: strict, partial or none; `missing`: layer → why;
    `through`: attacks that succeeded when it was tried; `landlock`: its version, 0 for none.
    """

    level: str = "none"
    layers: tuple[str, ...] = ()
    missing: dict[str, str] = field(default_factory=dict[str, str])
    through: tuple[str, ...] = ()
    landlock: int = 0

    def as_json(self) -> JsonObject:
        return {
            "level": self.level,
            "layers": list(self.layers),
            "missing": dict(self.missing),
            "through": list(self.through),
            "landlock": self.landlock,
        }

    @classmethod
    def from_json(cls, data: JsonObject) -> ConfinementInfo:
        return cls(
            fields.text(data, "level", "none"),
            fields.texts(data, "layers"),
            fields.text_mapping(data, "missing"),
            fields.texts(data, "through"),
            fields.integer(data, "landlock"),
        )


@dataclass(frozen=True, slots=True)
class WorkerInfo:
    """A worker that lives, as `GET /workers` shows it. An older one may not say everything.

    `running`: tasks it runs now, None: not said. `health`: part → what is wrong with it and what to
    do. `network`: what its tasks may reach; None: everything, or not said.
    """

    id: str = ""
    host: str = ""
    pid: int = 0
    version: str = ""
    slots: int = 1
    running: int | None = None
    python: str = ""
    packages: dict[str, str] = field(default_factory=dict[str, str])
    network: tuple[str, ...] | None = None
    confinement: ConfinementInfo | None = None
    health: dict[str, str] = field(default_factory=dict[str, str])

    def as_json(self) -> JsonObject:
        """What the worker's own row says (`info`); its id stands beside it."""
        info: JsonObject = {
            "host": self.host,
            "pid": self.pid,
            "version": self.version,
            "slots": self.slots,
            "python": self.python,
            "packages": dict(self.packages),
            "network": "open" if self.network is None else list(self.network),
        }
        if self.running is not None:
            info["running"] = self.running
        if self.confinement is not None:
            info["confinement"] = self.confinement.as_json()
        if self.health:
            info["health"] = dict(self.health)
        return info

    @classmethod
    def from_json(cls, data: JsonObject) -> WorkerInfo:
        """From a row of `GET /workers`: `{"id", "info": {…}}`."""
        info = fields.mapping(data, "info")
        confinement = fields.mapping(info, "confinement")
        return cls(
            fields.text(data, "id"),
            fields.text(info, "host"),
            fields.integer(info, "pid"),
            fields.text(info, "version"),
            fields.integer(info, "slots", 1),
            fields.optional_integer(info, "running"),
            fields.text(info, "python"),
            fields.text_mapping(info, "packages"),
            fields.texts(info, "network") if isinstance(info.get("network"), list) else None,
            ConfinementInfo.from_json(confinement) if confinement else None,
            fields.text_mapping(info, "health"),
        )


@dataclass(frozen=True, slots=True)
class Distribution:
    """An installed distribution, and its versions: several where workers differ."""

    name: str
    versions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class InstalledPackages:
    """The answer of `GET /workers/packages`: the workers' Python versions ("3.12"), and module →
    the distribution it is of, for what all of them have. Empty while none has told. `folder_bytes`,
    `folder_files`: so much of a notebook's folder may travel by itself.
    """

    python: tuple[str, ...] = ()
    packages: dict[str, Distribution] = field(default_factory=dict[str, Distribution])
    folder_bytes: int = FOLDER_BYTES
    folder_files: int = FOLDER_FILES

    def as_json(self) -> JsonObject:
        packages: JsonObject = {
            module: [one.name, *one.versions] for module, one in self.packages.items()
        }
        return {
            "python": list(self.python),
            "packages": packages,
            "folder_bytes": self.folder_bytes,
            "folder_files": self.folder_files,
        }

    @classmethod
    def from_json(cls, data: JsonObject) -> InstalledPackages:
        said = fields.mapping(data, "packages")
        packages = {
            module: Distribution(name, tuple(versions))
            for module in said
            for name, *versions in [fields.texts(said, module) or ("",)]
        }
        return cls(
            fields.texts(data, "python"),
            packages,
            fields.integer(data, "folder_bytes", FOLDER_BYTES),
            fields.integer(data, "folder_files", FOLDER_FILES),
        )
