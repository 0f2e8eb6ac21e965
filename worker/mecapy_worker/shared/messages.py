"""Every message between worker and child, with its defaults: made and read here alone.

A message is a frozen dataclass with a tag. `message_codec` makes frames of messages and reads them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from mecapy_jupyter.wire import Cell, Json, JsonObject, Payload
from mecapy_worker.shared.parent_input import ParentInput


class Message:
    """What all messages have."""

    __slots__ = ()
    tag: ClassVar[str]


# From the worker to a child.


@dataclass(frozen=True, slots=True)
class TaskMessage(Message):
    """The one task of a child. Its body is the pickle stream, where that is no blob; with it come
    the blobs of `payload`, opened, in the order of its digests, those of `parents`, and the last
    attempt's `checkpoint`. `needs`: name → `wire.Need`. `declared`: what the task does is observed,
    and only these files may be read by one whose result is kept.
    """

    tag: ClassVar[str] = "task"
    code: str
    cell: Cell | None = None
    payload: Payload | None = None
    inputs: JsonObject = field(default_factory=dict[str, Json])
    outputs: tuple[str, ...] | None = None
    keep: tuple[str, ...] = ()
    needs: dict[str, str] = field(default_factory=dict[str, str])
    parents: tuple[ParentInput, ...] = ()
    declared: tuple[str, ...] | None = None
    checkpoint: bool = False


@dataclass(frozen=True, slots=True)
class FolderGiven(Message):
    """The answer to `FolderWanted`. `found`: the working directory is another one now."""

    tag: ClassVar[str] = "folder_given"
    found: bool = False


@dataclass(frozen=True, slots=True)
class ProbeRequest(Message):
    tag: ClassVar[str] = "probe"
    secret: str
    worker_pid: int
    worker_threads: tuple[int, ...] = ()


# From a child to its worker. Untrusted.


@dataclass(frozen=True, slots=True)
class ChildReady(Message):
    """Confined and warm: the layers that hold it, and those that are missing, with the reason."""

    tag: ClassVar[str] = "ready"
    applied: tuple[str, ...] = ()
    missing: dict[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class ProbeResult(Message):
    """`through`: the attacks that were not stopped."""

    tag: ClassVar[str] = "probed"
    through: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FolderWanted(Message):
    """The cell's folder is large: an earlier one of this owner, from `home`, would save time."""

    tag: ClassVar[str] = "folder_wanted"
    home: str


@dataclass(frozen=True, slots=True)
class HomeMessage(Message):
    """The cell begins: its folder stands for this one of the notebook, in all that it prints."""

    tag: ClassVar[str] = "home"
    folder: str
    home: str


@dataclass(frozen=True, slots=True)
class OutputMessage(Message):
    """The frame's body is text for this stream, `stdout` or `stderr`."""

    tag: ClassVar[str] = "stream"
    name: str


@dataclass(frozen=True, slots=True)
class DisplayMessage(Message):
    """As `wire.DisplayEvent`."""

    tag: ClassVar[str] = "display"
    kind: str
    data: JsonObject = field(default_factory=dict[str, Json])
    metadata: JsonObject = field(default_factory=dict[str, Json])
    display_id: str | None = None
    wait: bool = False


@dataclass(frozen=True, slots=True)
class CommMessage(Message):  # as `wire.CommEvent`
    tag: ClassVar[str] = "comm"
    kind: str
    comm_id: str
    data: JsonObject = field(default_factory=dict[str, Json])
    buffers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ProgressMessage(Message):
    tag: ClassVar[str] = "progress"
    fraction: float | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class CheckpointMessage(Message):  # the outbox holds a file `checkpoint`, for the next attempt
    tag: ClassVar[str] = "checkpoint"


@dataclass(frozen=True, slots=True)
class InterruptedMessage(Message):
    """The cell stopped where it was; what it has computed may take its time to come home."""

    tag: ClassVar[str] = "stopped"


@dataclass(frozen=True, slots=True)
class OutcomeMessage(Message):
    """How the cell ended. The frame's body is the pickled result, where that is not in a file:
    `buffers` and `stream_file` name files of the outbox. `error`: as `wire.ErrorInfo`; `uncached`
    and `drew`: as of `wire.Outcome`; `imported`: modules.
    """

    tag: ClassVar[str] = "outcome"
    state: str
    result: Json = None
    error: JsonObject | None = None
    buffers: tuple[str, ...] = ()
    stream_file: str = ""
    uncached: tuple[str, ...] = ()
    drew: tuple[str, ...] = ()
    imported: tuple[str, ...] = ()


# What the worker's handle of a child adds to what the child says.


@dataclass(frozen=True, slots=True)
class UsageMessage(Message):  # as `wire.UsageEvent`
    tag: ClassVar[str] = "usage"
    cpu_s: float
    memory_bytes: int
    processes: int
    disk_bytes: int
    cpu_percent: float | None = None


@dataclass(frozen=True, slots=True)
class LimitExceeded(Message):
    """Why the child was stopped. `kind`: memory, disk or processes."""

    tag: ClassVar[str] = "limit"
    kind: str
    used: int
    allowed: int


@dataclass(frozen=True, slots=True)
class InvalidFrame(Message):
    """What the child sent is no frame, or none that a child may send."""

    tag: ClassVar[str] = "invalid"
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ExitStatus(Message):  # how a child ended; `lost`: it died with its zygote
    tag: ClassVar[str] = "exit"
    code: int | None = None
    signal: int | None = None
    lost: bool = False


_CHILD = (
    HomeMessage, OutputMessage, DisplayMessage, CommMessage, ProgressMessage, CheckpointMessage,
    InterruptedMessage, OutcomeMessage, FolderWanted,
)  # fmt: skip
FROM_CHILD: dict[str, type[Message]] = {one.tag: one for one in _CHILD}
_HANDLE = (UsageMessage, LimitExceeded, InvalidFrame, ExitStatus)
FROM_HANDLE = FROM_CHILD | {one.tag: one for one in _HANDLE}
LARGE = frozenset({DisplayMessage.tag, CommMessage.tag, OutcomeMessage.tag})  # may be large
