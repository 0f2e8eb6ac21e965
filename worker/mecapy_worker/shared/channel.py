"""The two ends of a socket that carries frames: a blocking one, and one for the worker's loop."""

from __future__ import annotations

import array
import asyncio
import fcntl
import os
import socket
import termios
import threading
from collections.abc import Sequence

from mecapy_worker.shared.frames import MAX_BODY_BYTES, Decoder, Frame, FrameError, encode
from mecapy_worker.shared.message_codec import frame_of
from mecapy_worker.shared.messages import Message

_FDS_AT_ONCE = 250  # the kernel takes 253 with one message
_CHUNK_BYTES = 256 * 1024
_CLOEXEC: int = getattr(socket, "MSG_CMSG_CLOEXEC", 0)  # not on macOS
_NOSIGNAL: int = getattr(socket, "MSG_NOSIGNAL", 0)


def _send_start(sock: socket.socket, data: memoryview, fds: Sequence[int]) -> int:
    """Send the first bytes with the descriptors (in several messages if there are many); returns
    how many bytes were sent.
    """
    sent = 0
    for at in range(0, len(fds), _FDS_AT_ONCE):
        part = array.array("i", fds[at : at + _FDS_AT_ONCE])
        sent += sock.sendmsg(
            [data[sent : sent + 1]], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, part)], _NOSIGNAL
        )
    return sent


def descriptors(ancillary: Sequence[tuple[int, int, bytes]]) -> list[int]:
    """Those that came with a message."""
    fds = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(content[: len(content) - len(content) % fds.itemsize])
    return list(fds)


class Channel:
    """The blocking end. Threads may send at the same time; a fork of the owner may not, because it
    would mix its frames with the owner's.
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

    def send(self, message: Message, body: bytes = b"", fds: tuple[int, ...] = ()) -> None:
        self.send_frame(frame_of(message, body, fds))

    def send_frame(self, frame: Frame) -> None:
        if not self.owned:
            raise FrameError("only the process that opened a channel may send on it")
        data = memoryview(encode(frame))
        with self._lock:
            self.sock.sendall(data[_send_start(self.sock, data, frame.fds) :])

    def receive(self) -> Frame | None:
        """Wait for the next frame; None when the other end is closed."""
        while (frame := self._decoder.next()) is None:
            if not self._read():
                return None
        return frame

    def receive_ready(self) -> list[Frame] | None:
        """After `select` reports data: the frames that are complete; None if the other end is
        closed.
        """
        return list(self._decoder.frames()) if self._read() else None

    def _read(self) -> bool:
        space = socket.CMSG_SPACE(_FDS_AT_ONCE * array.array("i").itemsize)
        try:
            data, ancillary, _flags, _address = self.sock.recvmsg(_CHUNK_BYTES, space, _CLOEXEC)
        except ConnectionResetError:
            return False
        self._decoder.feed(data, descriptors(ancillary))
        return bool(data)


class AsyncChannel:
    """The worker's end. Accepts no descriptors: the kernel discards what the other side attaches.
    `large`: as for the decoder. `unread`: the other end closed before it had read all of what was
    sent, as the kernel tells.
    """

    unread = False

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

    async def send(self, message: Message, body: bytes = b"", fds: tuple[int, ...] = ()) -> None:
        await self.send_frame(frame_of(message, body, fds))

    async def send_frame(self, frame: Frame) -> None:
        data = memoryview(encode(frame))
        loop = asyncio.get_running_loop()
        async with self._lock:
            sent = 0
            while sent == 0 and frame.fds:
                try:
                    sent = _send_start(self.sock, data, frame.fds)
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
                self.unread = True
                return None
            if not data:
                return None
            self._decoder.feed(data)
        return frame

    def waits(self) -> bool:
        """Whether more has come than was received."""
        return self._decoder.begun or any(fcntl.ioctl(self.sock, termios.FIONREAD, bytes(4)))

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
