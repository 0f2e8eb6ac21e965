"""Everything that a child sends, as frames in order. Knows no IPython."""

from __future__ import annotations

import fcntl
import io
import os
import sys
import termios
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from mecapy_worker.child import home_paths
from mecapy_worker.shared.frames import STREAM_BYTES
from mecapy_worker.shared.messages import Message, OutputMessage

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

Send = Callable[[Message, bytes], None]

_BURST_S = 0.002  # prints closer together than this are joined
_JOIN_CHARS = 16 * 1024
_COMMANDS = ("os.system", "subprocess.Popen", "os.posix_spawn", "os.fork")
"""Python reports these to an audit hook before they begin."""
_READ_S, _READ_WITHIN_S = 0.0005, 1.0
_LATE_S = 0.02  # what was joined leaves after this at the latest


class Outgoing:
    """Sends one frame at a time. An interrupt waits until the frame is complete."""

    def __init__(self, send: Send) -> None:
        self._send, self._owner = send, os.getpid()
        self._lock = threading.RLock()
        self.busy, self.interrupted, self.between_code = 0, False, False
        self.told_to_stop = False
        self._pending: list[str] = []
        self._pending_name, self._pending_chars, self._sent_at = "", 0, 0.0
        self._late: threading.Thread | None = None
        self._read_by_worker = {fd: _pipe(fd) for fd in (1, 2)}
        self._wake = threading.Event()
        self.uninterrupted = _Uninterrupted(self)

    @property
    def mine(self) -> bool:
        """False in a process that the task forked, which must not write into its parent's
        frames.
        """
        return os.getpid() == self._owner

    def send(self, message: Message, body: bytes = b"") -> None:
        """Send a message, after all text written before it, by commands too."""
        if self.mine:
            with self.uninterrupted, self._lock:
                self.flush()
                self._after_commands()
                self._send(message, body)

    def write(self, name: str, text: str) -> None:
        """Text for stream `name`.

        A line is sent at once, a burst of lines in one frame. An incomplete line waits briefly for
        its end, because `print` writes it separately, and output of a command could come between.
        """
        text = home_paths.shown(text)
        with self.uninterrupted, self._lock:
            if name != self._pending_name:
                self.flush()
            self._pending_name = name
            self._pending.append(text)
            self._pending_chars += len(text)
            is_line = text.endswith("\n") and time.monotonic() - self._sent_at > _BURST_S
            if is_line or self._pending_chars > _JOIN_CHARS:
                self.flush()
            else:
                self._flush_late()

    def flush(self) -> None:
        if not self.mine:
            return
        with self.uninterrupted, self._lock:
            text = "".join(self._pending)
            self._pending, self._pending_chars, self._sent_at = [], 0, time.monotonic()
            data = _encoded(text)
            if data:
                self._after_commands()
            for at in range(0, len(data), STREAM_BYTES):
                self._send(OutputMessage(self._pending_name), data[at : at + STREAM_BYTES])

    def hear(self, event: str) -> None:
        """An audit hook: what was printed so far comes before what a command prints."""
        if event in _COMMANDS:
            self.flush()

    def _after_commands(self) -> None:
        """What commands and native code have written to the descriptors was earlier: let the worker
        read it first. It does not read what the cell has put in their place.
        """
        until = time.monotonic() + _READ_WITHIN_S
        for fd, pipe in list(self._read_by_worker.items()):
            if not _unread_bytes(fd) or _pipe(fd) != pipe:
                continue
            while _unread_bytes(fd) and time.monotonic() < until:
                time.sleep(_READ_S)
            if _unread_bytes(fd):
                del self._read_by_worker[fd]

    def on_sigint(self, *_: object) -> None:
        """The child's handler of SIGINT."""
        self.told_to_stop = self.interrupted = True
        self.deliver()

    def deliver(self) -> None:
        """Raise an interrupt that has waited. It waits while a frame is written, and between the
        cell's statements: IPython would print it as an error of its own, and go on.
        """
        if self.interrupted and not self.busy and not self.between_code:
            self.interrupted = False
            raise KeyboardInterrupt

    def _flush_late(self) -> None:
        if self._late is None:
            self._late = threading.Thread(
                target=self._flush_loop, name="mecapy output", daemon=True
            )
            self._late.start()
        if not self._wake.is_set():  # installing it takes longer than the rest of a write
            self._wake.set()

    def _flush_loop(self) -> None:
        while self._wake.wait():
            time.sleep(_LATE_S)
            self._wake.clear()
            self.flush()


def _encoded(text: str) -> bytes:
    """As a kernel sends it, with the bytes of names that are no UTF-8. It sends no other
    surrogates.
    """
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")


def _pipe(fd: int) -> int:
    """Which one it is; 0: none."""
    try:
        return os.fstat(fd).st_ino
    except OSError:
        return 0


def _unread_bytes(fd: int) -> int:
    """The unread bytes in the pipe behind it."""
    try:
        return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), sys.byteorder)
    except OSError:  # no pipe
        return 0


class _Uninterrupted:
    """Delays a KeyboardInterrupt until the end of the block (it arises only in the main thread).
    Entered for every print.
    """

    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing, self._main = outgoing, threading.main_thread().ident

    def __enter__(self) -> None:
        if threading.get_ident() == self._main:
            self._outgoing.busy += 1

    def __exit__(self, *_: object) -> None:
        if threading.get_ident() == self._main:
            self._outgoing.busy -= 1
            self._outgoing.deliver()


class OutStream(io.TextIOBase):
    """`sys.stdout` or `sys.stderr` of a task."""

    encoding = "utf-8"  # pyright: ignore[reportAssignmentType]
    errors = "backslashreplace"  # pyright: ignore[reportAssignmentType]

    def __init__(self, outgoing: Outgoing, name: str, fd: int) -> None:
        self._outgoing, self.name, self._fd = outgoing, name, fd
        self.buffer = _Bytes(self)

    @property
    def mine(self) -> bool:
        return self._outgoing.mine

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._fd  # for subprocesses; the worker reads it too

    def write(self, text: str) -> int:
        if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        if self._outgoing.mine:
            self._outgoing.write(self.name, text)
        else:
            os.write(self._fd, _encoded(text))
        return len(text)

    def flush(self) -> None:
        self._outgoing.flush()


class _Bytes(io.RawIOBase):
    """`sys.stdout.buffer`, for writers of bytes."""

    def __init__(self, stream: OutStream) -> None:
        self._stream = stream

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer) -> int:
        written = bytes(data)
        self._stream.write(written.decode("utf-8", "replace"))
        return len(written)

    def flush(self) -> None:
        self._stream.flush()
