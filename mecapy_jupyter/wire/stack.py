"""The embedded stack: its state file, which the supervisor writes and everybody else reads, and
`mecapy status --json`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from mecapy_jupyter.wire import json_fields as fields
from mecapy_jupyter.wire.json_fields import JsonObject

WORKER = "worker"


@dataclass(frozen=True, slots=True)
class ProcessId:
    """A process. A pid comes round again, a pid with its start time does not."""

    pid: int = 0
    started: float = 0.0

    def as_json(self) -> JsonObject:
        return {"pid": self.pid, "created": self.started}

    @classmethod
    def from_json(cls, data: JsonObject) -> ProcessId:
        return cls(fields.integer(data, "pid"), fields.number(data, "created") or 0.0)


@dataclass(frozen=True, slots=True)
class ComponentState:
    """One component of a stack. `id`: of a worker, as the gateway knows it."""

    name: str
    process: ProcessId
    address: str = ""
    healthy: bool = False
    id: str = ""

    def as_json(self) -> JsonObject:
        process, shown = self.process.as_json(), self.as_status()
        return shown | process

    def as_status(self) -> JsonObject:
        shown: JsonObject = {
            "name": self.name,
            "pid": self.process.pid,
            "address": self.address,
            "healthy": self.healthy,
        }
        if self.name == WORKER:
            shown["id"] = self.id
        return shown

    @classmethod
    def from_json(cls, data: JsonObject) -> ComponentState:
        return cls(
            fields.text(data, "name"),
            ProcessId.from_json(data),
            fields.text(data, "address"),
            fields.flag(data, "healthy"),
            fields.text(data, "id"),
        )


@dataclass(frozen=True, slots=True)
class StackState:
    """What a supervisor writes down. `boot`: which start of the machine it was written in;
    `temporary`: folders that go with the stack.
    """

    supervisor: ProcessId = ProcessId()
    url: str = ""
    ready: bool = False
    components: tuple[ComponentState, ...] = ()
    temporary: tuple[str, ...] = ()
    boot: str = ""

    def as_json(self) -> JsonObject:
        return {
            "boot": self.boot,
            "supervisor": self.supervisor.as_json(),
            "url": self.url,
            "ready": self.ready,
            "temporary": list(self.temporary),
            "components": [component.as_json() for component in self.components],
        }

    @classmethod
    def from_json(cls, data: JsonObject) -> StackState:
        return cls(
            ProcessId.from_json(fields.mapping(data, "supervisor")),
            fields.text(data, "url"),
            fields.flag(data, "ready"),
            tuple(map(ComponentState.from_json, fields.objects(data, "components"))),
            fields.texts(data, "temporary"),
            fields.text(data, "boot"),
        )

    def without_processes(self) -> StackState:
        """Of a machine that was started anew: nobody who was written down lives."""
        return replace(self, supervisor=ProcessId(), components=())


@dataclass(frozen=True, slots=True)
class StackStatus:
    """What runs in the data directory `data`. `url` None: no stack does."""

    data: str
    url: str | None = None
    supervisor_pid: int = 0
    ready: bool = False
    components: tuple[ComponentState, ...] = ()

    def as_json(self) -> JsonObject:
        return {
            "url": self.url,
            "data": self.data,
            "supervisor": {"pid": self.supervisor_pid} if self.supervisor_pid else None,
            "ready": self.ready,
            "components": [component.as_status() for component in self.components],
        }
