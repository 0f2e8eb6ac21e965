"""Builds the `wire.Outcome` of an attempt from the child's last frame and from what the worker saw.

The child is untrusted, so everything is checked. No pickle is opened here. The outbox's files move
to the object store here.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, cast

from blake3 import blake3

from mecapy_backend.shared.settings import Settings
from mecapy_backend.store import json_text
from mecapy_backend.store.blobs.reservations import NoRoom
from mecapy_jupyter import wire
from mecapy_jupyter.wire import Json, JsonObject
from mecapy_worker.context import StopReason
from mecapy_worker.run import failure_messages
from mecapy_worker.shared import crash_line
from mecapy_worker.shared.messages import ExitStatus, LimitExceeded, OutcomeMessage

RESULT_JSON_BYTES = 4 * 1024 * 1024
TEXT_CHARS = 64 * 1024
BUFFERS = 100_000
_WHY_CHARS, _MOST_WHYS = 300, 10

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_KINDS_OF_CHILD = frozenset({"cell", "inputs", "python", "result_too_large"})


class InvalidOutcome(Exception):
    """The child's outcome is invalid. The text has the reason."""


class ResultOverLimit(Exception):
    """The result is larger than a task may return."""

    def __init__(self, size_bytes: int) -> None:
        super().__init__(size_bytes)
        self.size_bytes = size_bytes


@dataclass(frozen=True, slots=True)
class ChildOutcome:
    """A child's outcome, checked, and the names of its files in the outbox. `stream_file`: the file
    of the pickle if it is too long for the frame; `imported`: as it says, unchecked.
    """

    state: wire.State
    result: Json
    error: wire.ErrorInfo | None
    buffers: tuple[str, ...]
    stream: bytes
    stream_file: str = ""
    uncached: tuple[str, ...] = ()
    drew: tuple[str, ...] = ()
    imported: tuple[str, ...] = ()

    @property
    def files(self) -> tuple[str, ...]:
        return (*self.buffers, self.stream_file) if self.stream_file else self.buffers


def check(message: OutcomeMessage, body: bytes) -> ChildOutcome:
    """Check everything. Raises InvalidOutcome."""
    if message.state not in (wire.COMPLETED, wire.FAILED, wire.CANCELLED):
        raise InvalidOutcome("an outcome without a state")
    buffers, stream_file = message.buffers, message.stream_file
    if len(buffers) > BUFFERS:
        raise InvalidOutcome("an outcome with too many buffers")
    if not all(map(_NAME.fullmatch, buffers)) or len(set(buffers)) != len(buffers):
        raise InvalidOutcome("an outcome whose buffers are no plain file names")
    if stream_file and (not _NAME.fullmatch(stream_file) or stream_file in buffers or body):
        raise InvalidOutcome("an outcome whose stream is no file of its own")
    error = _error(message.error) if message.state == wire.FAILED else None
    return ChildOutcome(
        cast(wire.State, message.state),
        _result(message.result),
        error,
        buffers,
        body,
        stream_file,
        tuple(why[:_WHY_CHARS] for why in message.uncached[:_MOST_WHYS]),
        tuple(name[:_WHY_CHARS] for name in message.drew[:_MOST_WHYS]),
        message.imported,
    )


def _result(value: Json) -> Json:
    size = len(json_text.dumps(value))
    if size <= RESULT_JSON_BYTES:
        return value
    return {"repr": f"too large for JSON: {size:,} bytes, {RESULT_JSON_BYTES:,} are allowed"}


def _error(data: JsonObject | None) -> wire.ErrorInfo:
    match data:
        case {
            "kind": str(kind),
            "type": str(name),
            "message": str(message),
            "line": int() | None as line,
            "traceback": list(lines),
        } if kind in _KINDS_OF_CHILD:
            traceback = tuple(str(text)[:TEXT_CHARS] for text in lines[-1000:])
            return wire.ErrorInfo(
                cast(wire.ErrorKind, kind), name[:1000], message[:TEXT_CHARS], line, traceback
            )
        case _:
            raise InvalidOutcome("a failed outcome without a proper error")


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """How an attempt ended: the child's outcome, if any; why the worker stopped it; the limit; the
    exit; the invalid message. `stopped_s`: from the request to stop until its death.
    """

    outcome: ChildOutcome | None = None
    stop_reason: StopReason = ""
    limit: LimitExceeded | None = None
    exit_status: ExitStatus | None = None
    invalid: str = ""
    seconds: float = 0.0
    timeout_s: float = 0.0
    stopped_s: float | None = None


class BlobSink(Protocol):
    """Where the outbox goes: the store, for one attempt."""

    async def adopt(self, path: Path) -> str: ...
    async def write(self, digest: str, data: bytes) -> None: ...


async def outcome_of(
    end: AttemptEnd, outbox: Path, sink: BlobSink, settings: Settings, request: wire.TaskRequest
) -> wire.Outcome:
    """The outcome to record. The child must be dead, so that its outbox does not change."""
    outcome = wire.Outcome(wire.CANCELLED, seconds=round(end.seconds, 6))
    if end.stop_reason == "lost":
        return outcome  # nobody needs it any more
    error = _why(end, settings)
    payload, why_not = await _take_payload(end.outcome, outbox, sink, settings)
    error = error or why_not
    if end.stop_reason == "cancel":
        return replace(outcome, payload=payload, stopped_s=round(end.stopped_s or 0.0, 3))
    if error:
        error = _with_line(error, outbox, request)
        return replace(outcome, state=wire.FAILED, error=error, payload=payload)
    assert end.outcome
    reported = end.outcome
    return replace(
        outcome,
        state=reported.state,
        result=reported.result,
        error=reported.error,
        payload=payload,
        uncached=reported.uncached,
        drew=reported.drew,
    )


def _with_line(error: wire.ErrorInfo, outbox: Path, request: wire.TaskRequest) -> wire.ErrorInfo:
    if error.kind not in ("memory", "disk", "timeout", "killed"):
        return error
    return failure_messages.at(error, crash_line.line_of(outbox, request.code, request.cell))


async def _take_payload(
    reported: ChildOutcome | None, outbox: Path, sink: BlobSink, settings: Settings
) -> tuple[wire.Payload | None, wire.ErrorInfo | None]:
    """The result in the store, or why it is not."""
    try:
        return (await _payload(reported, outbox, sink, settings) if reported else None), None
    except ResultOverLimit as large:
        return None, failure_messages.result_too_large(large.size_bytes, settings)
    except NoRoom as full:
        text = f"The cell's result could not be kept: {full}."
        return None, failure_messages.info("result_too_large", text)
    except InvalidOutcome as invalid:
        return None, failure_messages.protocol(str(invalid))
    except OSError as problem:
        text = f"The result could not be stored ({problem}); run the cell again."
        return None, failure_messages.info("storage", text)


def _why(end: AttemptEnd, settings: Settings) -> wire.ErrorInfo | None:
    """Why the worker fails this attempt; None if the child's outcome holds."""
    if end.limit:
        return failure_messages.limit(end.limit.kind, end.limit.used, settings)
    if end.stop_reason == "output":
        return failure_messages.output(settings)
    if end.stop_reason == "timeout":
        return failure_messages.timeout(end.timeout_s)
    if end.invalid:
        return failure_messages.protocol(end.invalid)
    if end.outcome or end.stop_reason:
        return None
    return failure_messages.died(end.exit_status or ExitStatus())


async def _payload(
    reported: ChildOutcome, outbox: Path, sink: BlobSink, settings: Settings
) -> wire.Payload | None:
    if not reported.stream and not reported.files:
        return None
    with _checked(outbox, reported.files) as sizes:
        total = sum(sizes) + len(reported.stream)
    if total > settings.max_result_bytes:
        raise ResultOverLimit(total)
    digests = tuple([await sink.adopt(outbox / name) for name in reported.buffers])
    if reported.stream_file:
        return wire.Payload(b"", await sink.adopt(outbox / reported.stream_file), digests)
    if len(reported.stream) <= wire.INLINE_BYTES:
        return wire.Payload(reported.stream, "", digests)
    digest = blake3(reported.stream).hexdigest()
    await sink.write(digest, reported.stream)
    return wire.Payload(b"", digest, digests)


@contextmanager
def _checked(outbox: Path, names: tuple[str, ...]) -> Generator[list[int]]:
    """The sizes of the outbox's files. Each must be a regular file of this folder: no link, device
    or path.
    """
    try:
        folder = os.open(outbox, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise InvalidOutcome("no outbox") from error
    try:
        yield [_size_of(folder, name) for name in names]
    finally:
        os.close(folder)


def _size_of(folder: int, name: str) -> int:
    try:
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError as error:
        raise InvalidOutcome(f"a buffer that is not there: {name}") from error
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        raise InvalidOutcome(f"a buffer that is no file of its own: {name}")
    return found.st_size
