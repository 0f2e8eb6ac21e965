"""What worker, zygote and child say to each other: frames on a stream socket, with file descriptors
beside them.

A frame is `header length, body length, header (JSON), body`. The other end may be hostile: sizes
are bounded before anything is allocated, and whatever does not parse is a `FrameError`. No pickle
is opened here.
"""

from __future__ import annotations

import array
import asyncio
import json
import os
import socket
import struct
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

MAX_HEADER_BYTES = 16 * 1024 * 1024
MAX_BODY_BYTES = 1024 * 1024 * 1024
MAX_FDS = 1000
STREAM_BYTES = 1024 * 1024
"""Of text in one frame."""
_SMALL_HEADER_BYTES = 64 * 1024
_FDS_AT_ONCE = 250  # the kernel takes 253 with one message
_CHUNK_BYTES = 256 * 1024
_json = json.JSONEncoder(separators=(",", ":"))
_LENGTHS = struct.Struct("!II")
_CLOEXEC: int = getattr(socket, "MSG_CMSG_CLOEXEC", 0)  # not on macOS
_NOSIGNAL: int = getattr(socket, "MSG_NOSIGNAL", 0)


class FrameError(Exception):
    """What arrived is no frame, or a larger one than this end accepts."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message. `fds` are open file descriptors that now belong to the receiver; `size_bytes`:
    what it took, where it was received.
    """

    kind: str
    header: dict[str, Any] = field(default_factory=dict[str, Any])
    body: bytes = b""
    fds: tuple[int, ...] = ()
    size_bytes: int = field(default=0, compare=False)


def encode(frame: Frame) -> bytes:
    """The bytes of a frame; its descriptors travel beside them."""
    header = _json.encode(
        {"kind": frame.kind, "fds": len(frame.fds), "header": frame.header}
    ).encode()
    if (
        len(header) > MAX_HEADER_BYTES
        or len(frame.body) > MAX_BODY_BYTES
        or len(frame.fds) > MAX_FDS
    ):
        raise FrameError(
            f"frame {frame.kind!r} is too large: header {len(header)}, body {len(frame.body)} "
            f"bytes, {len(frame.fds)} files"
        )
    return b"".join((_LENGTHS.pack(len(header), len(frame.body)), header, frame.body))


class Decoder:
    """Bytes and descriptors in, frames out. Does no input or output itself. `large`: the only kinds
    that may be, where some may not.
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
        self._large_starts = tuple(
            f'{{"kind":"{kind}",'.encode() for kind in large
        )  # as `encode` writes it
        self._start_bytes = max(map(len, self._large_starts), default=0)

    def feed(self, data: bytes, fds: Sequence[int] = ()) -> None:
        self._buffer += data
        self._fds += fds

    def frames(self) -> Iterator[Frame]:
        while (frame := self.next()) is not None:
            yield frame

    def next(self) -> Frame | None:
        """The next whole frame, or None when more bytes are needed."""
        if len(self._buffer) < _LENGTHS.size:
            return None
        header_bytes, body_bytes = _LENGTHS.unpack_from(self._buffer)
        if header_bytes > MAX_HEADER_BYTES or body_bytes > self._max_body_bytes:
            raise FrameError(
                f"a frame of {header_bytes} + {body_bytes} bytes is larger than allowed"
            )
        large = bool(self._large) and (
            header_bytes > _SMALL_HEADER_BYTES or body_bytes > STREAM_BYTES
        )
        if (
            large and len(self._buffer) >= _LENGTHS.size + self._start_bytes
        ):  # asked before the rest of it is waited for
            self._check_large(
                bytes(self._buffer[_LENGTHS.size : _LENGTHS.size + self._start_bytes]).startswith(
                    self._large_starts
                )
            )
        start = _LENGTHS.size + header_bytes
        if len(self._buffer) < start + body_bytes:
            return None
        header = _parse(bytes(self._buffer[_LENGTHS.size : start]))
        body = bytes(memoryview(self._buffer)[start : start + body_bytes])
        del self._buffer[: start + body_bytes]
        kind = _text(header.get("kind"))
        self._check_large(not large or kind in self._large)
        return Frame(
            kind,
            _object(header.get("header")),
            body,
            self._take(header.get("fds", 0)),
            start + body_bytes,
        )

    def _check_large(self, may_be: bool) -> None:
        if not may_be:
            raise FrameError("a frame that is larger than its kind may be")

    def _take(self, count: Any) -> tuple[int, ...]:
        if type(count) is not int or not 0 <= count <= min(self._max_fds, len(self._fds)):
            raise FrameError("a frame names files that did not come with it")
        taken, self._fds = tuple(self._fds[:count]), self._fds[count:]
        return taken

    def close(self) -> None:
        """Close descriptors no frame took."""
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()


def _parse(data: bytes) -> dict[str, Any]:
    try:
        header = json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise FrameError(f"a frame's header is not JSON: {error}") from None
    return _object(header)


def _object(header: Any) -> dict[str, Any]:
    if not isinstance(header, dict):
        raise FrameError("a frame's header is not an object")
    return cast("dict[str, Any]", header)


def _text(kind: Any) -> str:
    if not isinstance(kind, str) or not kind:
        raise FrameError("a frame without a kind")
    return kind


def _send_start(sock: socket.socket, data: memoryview, fds: Sequence[int]) -> int:
    """Send the first bytes with the descriptors (in several messages when they are many); how many
    bytes went.
    """
    sent = 0
    for at in range(0, len(fds), _FDS_AT_ONCE):
        part = array.array("i", fds[at : at + _FDS_AT_ONCE])
        sent += sock.sendmsg(
            [data[sent : sent + 1]], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, part)], _NOSIGNAL
        )
    return sent


class Channel:
    """The blocking end. Threads may send at once; a fork of the owner may not, it would garble the
    owner's frames.
    """

    def __init__(self, sock: socket.socket, max_body_bytes: int = MAX_BODY_BYTES) -> None:
        self.sock = sock
        self._decoder = Decoder(max_body_bytes)
        self._lock = threading.Lock()
        self._owner = os.getpid()

    @property
    def owned(self) -> bool:
        """Whether this is the process that opened the channel, and not a fork of it."""
        return os.getpid() == self._owner

    def send(
        self,
        kind: str,
        header: dict[str, Any] | None = None,
        body: bytes = b"",
        fds: Sequence[int] = (),
    ) -> None:
        if not self.owned:
            raise FrameError("only the process that opened a channel may send on it")
        data = memoryview(encode(Frame(kind, header or {}, body, tuple(fds))))
        with self._lock:
            self.sock.sendall(data[_send_start(self.sock, data, fds) :])

    def receive(self) -> Frame | None:
        """Wait for the next frame; None when the other end is closed."""
        while (frame := self._decoder.next()) is None:
            if not self._read():
                return None
        return frame

    def receive_ready(self) -> list[Frame] | None:
        """After `select` says there is something to read: the frames that are whole by now; None
        when the other end is closed.
        """
        return list(self._decoder.frames()) if self._read() else None

    def _read(self) -> bool:
        space = socket.CMSG_SPACE(_FDS_AT_ONCE * array.array("i").itemsize)
        try:
            data, ancillary, _flags, _address = self.sock.recvmsg(_CHUNK_BYTES, space, _CLOEXEC)
        except ConnectionResetError:
            return False
        fds = array.array("i")
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
        self._decoder.feed(data, list(fds))
        return bool(data)


class AsyncChannel:
    """The worker's end. Takes no descriptors: what the other side attaches, the kernel throws away.
    `large`: as for the decoder.
    """

    def __init__(
        self,
        sock: socket.socket,
        max_body_bytes: int = MAX_BODY_BYTES,
        large: frozenset[str] = frozenset(),
    ) -> None:
        sock.setblocking(False)
        self.sock = sock
        self._decoder = Decoder(max_body_bytes, 0, large)
        self._lock = asyncio.Lock()

    async def send(
        self,
        kind: str,
        header: dict[str, Any] | None = None,
        body: bytes = b"",
        fds: Sequence[int] = (),
    ) -> None:
        data = memoryview(encode(Frame(kind, header or {}, body, tuple(fds))))
        loop = asyncio.get_running_loop()
        async with self._lock:
            sent = 0
            while sent == 0 and fds:
                try:
                    sent = _send_start(self.sock, data, fds)
                except BlockingIOError:
                    await ready(self.sock.fileno(), write=True)
            await loop.sock_sendall(self.sock, data[sent:])

    async def receive(self) -> Frame | None:
        """Wait for the next frame; None when the other end is closed."""
        loop = asyncio.get_running_loop()
        while (frame := self._decoder.next()) is None:
            try:
                data = await loop.sock_recv(self.sock, _CHUNK_BYTES)
            except ConnectionResetError:
                return None
            if not data:
                return None
            self._decoder.feed(data)
        return frame

    def close(self) -> None:
        self.sock.close()


async def ready(fd: int, *, write: bool = False) -> None:
    """Wait until `fd` can be read (or written) without blocking."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    add, remove = (
        (loop.add_writer, loop.remove_writer) if write else (loop.add_reader, loop.remove_reader)
    )
    add(fd, lambda: future.done() or future.set_result(None))
    try:
        await future
    finally:
        remove(fd)
