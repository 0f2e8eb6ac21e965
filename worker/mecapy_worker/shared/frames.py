"""The messages between worker, zygote and child: frames on a stream socket, with file descriptors
beside them.

A frame is a prefix (the lengths of its kind, its header and its body, and the number of its
descriptors), the kind, the header (a JSON object) and the body. The other end may be hostile: sizes
are checked before anything is allocated, and whatever does not parse is a `FrameError`. No pickle
is opened here.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

from mecapy_jupyter.shared import own_json as json
from mecapy_jupyter.wire import Json, JsonObject
from mecapy_jupyter.wire.shape import Shape
from mecapy_worker.shared.nesting import DEEPEST, too_deep

MAX_HEADER_BYTES = 16 * 1024 * 1024
MAX_BODY_BYTES = 1024 * 1024 * 1024
MAX_FDS = 1000
STREAM_BYTES = 1024 * 1024
"""The most text in one frame."""
_SMALL_HEADER_BYTES = 64 * 1024
_PREFIX = struct.Struct("!BHII")


class FrameError(Exception):
    """Not a frame, or larger than this end accepts."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message. `fds` are open file descriptors that now belong to the receiver; `size_bytes`:
    the received size.
    """

    kind: str
    header: JsonObject = field(default_factory=dict[str, Json])
    body: bytes = b""
    fds: tuple[int, ...] = ()
    size_bytes: int = field(default=0, compare=False)


def encode(frame: Frame) -> bytes:
    """The bytes of a frame; its descriptors travel beside them."""
    kind, header = frame.kind.encode(), json_of(frame.header)
    if (
        len(header) > MAX_HEADER_BYTES
        or len(frame.body) > MAX_BODY_BYTES
        or len(frame.fds) > MAX_FDS
    ):
        raise FrameError(
            f"frame {frame.kind!r} is too large: header {len(header)}, body {len(frame.body)} "
            f"bytes, {len(frame.fds)} files"
        )
    prefix = _PREFIX.pack(len(kind), len(frame.fds), len(header), len(frame.body))
    return b"".join((prefix, kind, header, frame.body))


def _as_json(value: object) -> JsonObject:
    """The dataclasses of `wire` that a header may hold."""
    if isinstance(value, Shape):
        return value.as_json()
    raise TypeError(f"a frame's header cannot hold a {type(value).__name__}")


_encoder = json.JSONEncoder(separators=(",", ":"), default=_as_json)


def json_of(header: JsonObject) -> bytes:
    return _encoder.encode(header).encode()


class Decoder:
    """Bytes and descriptors in, frames out. Does no input or output itself. `large`: the only kinds
    that may be large, if not all may.
    """

    def __init__(
        self,
        max_body_bytes: int = MAX_BODY_BYTES,
        max_fds: int = MAX_FDS,
        large: frozenset[str] = frozenset(),
    ) -> None:
        self._buffer = bytearray()
        self._fds: list[int] = []
        self._max_body_bytes = max_body_bytes
        self._max_fds = max_fds
        self._large = large

    def feed(self, data: bytes, fds: Sequence[int] = ()) -> None:
        self._buffer += data
        self._fds += fds

    @property
    def begun(self) -> bool:
        """Whether it has bytes that it has not returned."""
        return bool(self._buffer)

    def frames(self) -> Iterator[Frame]:
        while (frame := self.next()) is not None:
            yield frame

    def next(self) -> Frame | None:
        """The next whole frame, or None when more bytes are needed."""
        if len(self._buffer) < _PREFIX.size:
            return None
        kind_bytes, fds, header_bytes, body_bytes = _PREFIX.unpack_from(self._buffer)
        self._check_sizes(fds, header_bytes, body_bytes)
        header_at = _PREFIX.size + kind_bytes
        if len(self._buffer) < header_at:
            return None
        kind = _kind(bytes(self._buffer[_PREFIX.size : header_at]))
        self._check_large(kind, header_bytes, body_bytes)  # before the rest of it is waited for
        body_at = header_at + header_bytes
        end = body_at + body_bytes
        if len(self._buffer) < end:
            return None
        header = _header(bytes(self._buffer[header_at:body_at]))
        body = bytes(memoryview(self._buffer)[body_at:end])
        del self._buffer[:end]
        return Frame(kind, header, body, self._take(fds), end)

    def _check_sizes(self, fds: int, header_bytes: int, body_bytes: int) -> None:
        if header_bytes > MAX_HEADER_BYTES or body_bytes > self._max_body_bytes:
            raise FrameError(
                f"a frame of {header_bytes} + {body_bytes} bytes is larger than allowed"
            )
        if fds > self._max_fds:
            raise FrameError("a frame with more files than allowed")

    def _check_large(self, kind: str, header_bytes: int, body_bytes: int) -> None:
        is_large = header_bytes > _SMALL_HEADER_BYTES or body_bytes > STREAM_BYTES
        if self._large and is_large and kind not in self._large:
            raise FrameError("a frame that is larger than its kind may be")

    def _take(self, count: int) -> tuple[int, ...]:
        if count > len(self._fds):
            raise FrameError("a frame names files that did not come with it")
        taken, self._fds = tuple(self._fds[:count]), self._fds[count:]
        return taken

    def close(self) -> None:
        """Close descriptors no frame took."""
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()


def _kind(data: bytes) -> str:
    if not data.isascii() or not data:
        raise FrameError("a frame without a kind")
    return data.decode("ascii")


def _header(data: bytes) -> JsonObject:
    try:
        text = data.decode()
        header: Json = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise FrameError(f"a frame's header is not JSON: {error}") from None
    if too_deep(text, header):
        raise FrameError(f"a frame's header nests deeper than {DEEPEST}")
    if not isinstance(header, dict):
        raise FrameError("a frame's header is not an object")
    return cast("JsonObject", header)
