"""How an attempt ended, in words: from the child's last frame and from what the worker saw, the one
`wire.Outcome`.

What a child says is untrusted: everything is checked before it is believed. It may not open a
pickle. `relay` hands over; `jobs` records what comes out. The files of the outbox are taken over
into the object store here.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, cast

from blake3 import blake3

from mecapy_backend.shared.settings import Settings
from mecapy_backend.store import json_text
from mecapy_jupyter import wire
from mecapy_worker.context import StopReason
from mecapy_worker.run import failure_messages
from mecapy_worker.shared import crash_line

RESULT_JSON_BYTES = 4 * 1024 * 1024
TEXT_CHARS = 64 * 1024
BUFFERS = 100_000

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_KINDS_OF_CHILD = frozenset({"cell", "inputs", "python", "result_too_large"})


class InvalidOutcome(Exception):
    """The child said something that is no outcome. The text says what."""


class TooLarge(Exception):
    """The result is larger than a task may return. `args[0]`: its size in bytes."""


@dataclass(frozen=True, slots=True)
class ChildOutcome:
    """A child's outcome frame, checked: what it says, and the names of its files."""

    state: wire.State
    result: Any
    error: wire.ErrorInfo | None
    buffers: tuple[str, ...]
    stream: bytes
    stream_file: str = ""  # where it is, when it is too long for the frame

    @property
    def files(self) -> tuple[str, ...]:
        """All its files in the outbox."""
        return (*self.buffers, self.stream_file) if self.stream_file else self.buffers


def read(header: dict[str, Any], body: bytes) -> ChildOutcome:
    """The child's outcome frame. Raises InvalidOutcome."""
    state, buffers = header.get("state"), header.get("buffers", [])
    if state not in (wire.COMPLETED, wire.FAILED, wire.CANCELLED):
        raise InvalidOutcome("an outcome without a state")
    if not isinstance(buffers, list) or len(cast(list[Any], buffers)) > BUFFERS:
        raise InvalidOutcome("an outcome with too many buffers")
    names = tuple(
        name for name in cast(list[Any], buffers) if isinstance(name, str) and _NAME.fullmatch(name)
    )
    if len(names) != len(cast(list[Any], buffers)) or len(set(names)) != len(names):
        raise InvalidOutcome("an outcome whose buffers are no plain file names")
    stream_file = header.get("stream_file", "")
    if stream_file != "" and (
        not isinstance(stream_file, str)
        or not _NAME.fullmatch(stream_file)
        or stream_file in names
        or body
    ):
        raise InvalidOutcome("an outcome whose stream is no file of its own")
    error = _error(header.get("error")) if state == wire.FAILED else None
    return ChildOutcome(state, _result(header.get("result")), error, names, body, stream_file)


def _result(value: Any) -> Any:
    size = len(json_text.dumps(value))
    return (
        value
        if size <= RESULT_JSON_BYTES
        else {"repr": f"too large for JSON: {size:,} bytes, {RESULT_JSON_BYTES:,} are allowed"}
    )


def _error(data: Any) -> wire.ErrorInfo:
    match data:
        case {
            "kind": str(kind),
            "type": str(name),
            "message": str(message),
            "line": int() | None as line,
            "traceback": list(lines),  # pyright: ignore[reportUnknownVariableType]
        } if (
            kind in _KINDS_OF_CHILD and all(isinstance(text, str) for text in lines)  # pyright: ignore[reportUnknownVariableType]
        ):
            traceback = tuple(text[:TEXT_CHARS] for text in cast(list[str], lines)[-1000:])
            return wire.ErrorInfo(
                cast(wire.ErrorKind, kind), name[:1000], message[:TEXT_CHARS], line, traceback
            )
        case _:
            raise InvalidOutcome("a failed outcome without a proper error")


@dataclass(frozen=True, slots=True)
class AttemptEnd:
    """How a child ended: its word if it gave one, why the worker stopped it, which limit it hit,
    how its process exited.
    """

    word: ChildOutcome | None = None
    reason: StopReason = ""
    limit: str = ""
    exit: dict[str, Any] | None = None
    invalid: str = ""
    seconds: float = 0.0
    timeout_s: float = 0.0
    stopped_s: float | None = None  # from being told to stop until it was dead
    used: int = 0  # of what `limit` is about


class BlobSink(Protocol):
    """Where the outbox goes; see `keeping.RetryingBlobStore`."""

    async def adopt(self, path: Path) -> str: ...
    async def write(self, digest: str, data: bytes) -> None: ...


async def settle(
    ended: AttemptEnd, outbox: Path, keep: BlobSink, settings: Settings, request: dict[str, Any]
) -> wire.Outcome:
    """The outcome to record. The child is dead when this is called: nothing changes in its outbox
    any more. `request`: the task's.
    """
    outcome = wire.Outcome(wire.CANCELLED, seconds=round(ended.seconds, 6))
    if ended.reason == "lost":
        return outcome  # nobody asks for it any more
    error = _why(ended, settings)
    try:
        payload = await _payload(ended.word, outbox, keep, settings) if ended.word else None
    except TooLarge as large:
        payload, error = (
            None,
            error or failure_messages.result_too_large(int(large.args[0]), settings),
        )
    except InvalidOutcome as invalid:
        payload, error = None, error or failure_messages.protocol(str(invalid))
    except OSError as problem:
        payload, error = (
            None,
            error
            or failure_messages.storage(
                f"The result could not be stored ({problem}); run the cell again."
            ),
        )
    if ended.reason == "cancel":
        return replace(outcome, payload=payload, stopped_s=round(ended.stopped_s or 0.0, 3))
    if error:
        line = (
            crash_line.line_of(outbox, request)
            if error.kind in ("memory", "disk", "timeout", "killed")
            else None
        )
        return replace(
            outcome, state=wire.FAILED, error=failure_messages.at(error, line), payload=payload
        )
    assert ended.word
    return replace(
        outcome,
        state=ended.word.state,
        result=ended.word.result,
        error=ended.word.error,
        payload=payload,
    )


def _why(ended: AttemptEnd, settings: Settings) -> wire.ErrorInfo | None:
    """Why the worker calls this attempt failed; None where the child's own word stands."""
    if ended.limit:
        return failure_messages.limit(ended.limit, ended.used, settings)
    if ended.reason == "output":
        return failure_messages.output(settings)
    if ended.reason == "timeout":
        return failure_messages.timeout(ended.timeout_s)
    if ended.invalid:
        return failure_messages.protocol(ended.invalid)
    return None if ended.word or ended.reason else failure_messages.died(ended.exit or {})


async def _payload(
    word: ChildOutcome, outbox: Path, keep: BlobSink, settings: Settings
) -> wire.Payload | None:
    if not word.stream and not word.files:
        return None
    with _checked(outbox, word.files) as sizes:
        total = sum(sizes) + len(word.stream)
    if total > settings.max_result_bytes:
        raise TooLarge(total)
    digests = tuple([await keep.adopt(outbox / name) for name in word.buffers])
    if word.stream_file:
        return wire.Payload(b"", await keep.adopt(outbox / word.stream_file), digests)
    if len(word.stream) <= wire.INLINE_BYTES:
        return wire.Payload(word.stream, "", digests)
    digest = blake3(word.stream).hexdigest()
    await keep.write(digest, word.stream)
    return wire.Payload(b"", digest, digests)


@contextmanager
def _checked(outbox: Path, names: tuple[str, ...]) -> Generator[list[int]]:
    """The sizes of the outbox's files, each a regular file of this folder alone: no link, no
    device, no way out of it.
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
