"""The embedded stack: its state file, which the supervisor writes and everybody else reads, and
`mecapy status --json`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from mecapy_jupyter.wire.json_fields import JsonObject
from mecapy_jupyter.wire.shape import Shape, read

WORKER = "worker"


@dataclass(frozen=True, slots=True)
class ProcessId(Shape):
    """A process. Pids are reused; a pid with its start time is unique."""

    pid: int = 0
    started: float = field(default=0.0, metadata={"key": "created"})


@dataclass(frozen=True, slots=True)
class ComponentState(Shape):
    """One component of a stack. `id`: of a worker, as the gateway knows it."""

    name: str
    process: ProcessId
    address: str = ""
    healthy: bool = False
    id: str = ""

    def as_json(self) -> JsonObject:
        return self.as_status() | self.process.as_json()

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
        return read(cls, {**data, "process": data})


@dataclass(frozen=True, slots=True)
class StackState(Shape):
    """The record of a supervisor. `boot`: the boot of the machine in which it was written;
    `temporary`: folders to delete with the stack.
    """

    supervisor: ProcessId = ProcessId()
    url: str = ""
    ready: bool = False
    components: tuple[ComponentState, ...] = ()
    temporary: tuple[str, ...] = ()
    boot: str = ""

    def without_processes(self) -> StackState:
        """The record after a restart of the machine, when no recorded process lives."""
        return replace(self, supervisor=ProcessId(), components=())


@dataclass(frozen=True, slots=True)
class StackStatus(Shape):
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
