"""The events of a task's log. Each has a dataclass, tagged by its `type`; the final event is an
`Outcome`, and its type is the final state.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeAlias, get_args

from mecapy_jupyter.wire.comms import CommEvent
from mecapy_jupyter.wire.json_fields import JsonObject
from mecapy_jupyter.wire.outcome import Outcome
from mecapy_jupyter.wire.result_cache import CachedRun
from mecapy_jupyter.wire.shape import OPTIONAL, Shape, write
from mecapy_jupyter.wire.states import FINAL, QUEUED

STARTED, STDOUT, STDERR, DISPLAY = "started", "stdout", "stderr", "display"
PROGRESS, USAGE, LIMIT = "progress", "usage", "limit"

DisplayKind = Literal[
    "display_data", "update_display_data", "execute_result", "clear_output", "error"
]
DISPLAY_KINDS: frozenset[str] = frozenset(get_args(DisplayKind))


@dataclass(frozen=True, slots=True)
class QueuedEvent(Shape):
    """The task waits. `position`: 1 starts next, None: not known; `of`: how many wait; `eta_s`:
    until it starts. `why_there`: which class of machines it goes to and why. `waits_for`: the names
    of the tasks whose results a blocked one needs. The first one, which answers the submission, has
    `task_id` and what to expect by its code's history: `estimate` in words, `estimate_s` of
    running. `cached`: nothing was submitted, because the task of this id ran earlier; `same_runs`:
    nothing was submitted, because the same task has not ended.
    """

    type: ClassVar = QUEUED
    position: int | None = None
    of: int | None = None
    eta_s: float | None = None
    task_id: str = field(default="", metadata=OPTIONAL)
    why_there: str = field(default="", metadata=OPTIONAL)
    estimate: str = field(default="", metadata=OPTIONAL)
    estimate_s: float | None = field(default=None, metadata=OPTIONAL)
    cached: CachedRun | None = field(default=None, metadata=OPTIONAL)
    same_runs: bool = field(default=False, metadata=OPTIONAL)
    waits_for: str = field(default="", metadata=OPTIONAL)


@dataclass(frozen=True, slots=True)
class StartedEvent(Shape):
    """A worker has begun an attempt; the first one is 1. `why_there`: of its class of machines.
    `timeout_s`: it is stopped after this run time; 0: not said.
    """

    type: ClassVar = STARTED
    worker: str = ""
    attempt: int = 1
    memory_limit_bytes: int | None = None
    why_there: str = field(default="", metadata=OPTIONAL)
    timeout_s: float = field(default=0.0, metadata=OPTIONAL)


@dataclass(frozen=True, slots=True)
class StdoutEvent(Shape):
    type: ClassVar = STDOUT
    text: str = ""


@dataclass(frozen=True, slots=True)
class StderrEvent(Shape):
    type: ClassVar = STDERR
    text: str = ""


@dataclass(frozen=True, slots=True)
class DisplayEvent(Shape):
    """What the cell displayed, as Jupyter's messages of that name have it: `data` and `metadata`
    by MIME type. `wait`: of clear_output, until the next output. An `error` is one that the cell
    showed and went on; its `data` are `ename`, `evalue` and `traceback`.
    """

    type: ClassVar = DISPLAY
    kind: DisplayKind = "display_data"
    data: JsonObject = field(default_factory=JsonObject)
    metadata: JsonObject = field(default_factory=JsonObject)
    display_id: str | None = None
    wait: bool = False

    def as_json(self) -> JsonObject:
        if self.kind == "clear_output":
            return {"kind": self.kind, "wait": self.wait}
        shown = write(self)
        del shown["wait"]
        return shown


@dataclass(frozen=True, slots=True)
class ProgressEvent(Shape):
    """What the cell says of its progress: a fraction from 0 to 1 (None: not known) and a text."""

    type: ClassVar = PROGRESS
    fraction: float | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class UsageEvent(Shape):
    """What the task uses now: processor in percent of one core, memory, its processes, its disk."""

    type: ClassVar = USAGE
    cpu_percent: float | None = None
    memory_bytes: int | None = None
    cpu_s: float | None = None
    processes: int | None = None
    disk_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class LimitEvent(Shape):
    """The task is stopped after this run time from now on."""

    type: ClassVar = LIMIT
    timeout_s: float = 0.0


EventBody: TypeAlias = (
    QueuedEvent
    | StartedEvent
    | StdoutEvent
    | StderrEvent
    | DisplayEvent
    | CommEvent
    | ProgressEvent
    | UsageEvent
    | LimitEvent
    | Outcome
)

_BODIES: tuple[type[EventBody], ...] = get_args(EventBody)
_BY_TYPE = {body.type: body.from_json for body in _BODIES if not issubclass(body, Outcome)}


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of a task's log, as it is stored and sent. `id` orders them and resumes a stream
    (`Last-Event-ID`); `data` is the JSON of its body.
    """

    id: str
    type: str
    data: JsonObject

    @classmethod
    def of(cls, body: EventBody, id: str = "") -> Event:
        return cls(id, body.state if isinstance(body, Outcome) else body.type, body.as_json())

    @property
    def body(self) -> EventBody | None:
        """What it says; None for a type that this release does not know."""
        if self.type in FINAL:
            return Outcome.from_json({"state": self.type} | self.data)
        read = _BY_TYPE.get(self.type)
        return read(self.data) if read else None
