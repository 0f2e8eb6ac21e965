"""The frames themselves, at both ends, without a child."""

from __future__ import annotations

import os
import socket
import struct
import threading
from pathlib import Path

import pytest

from mecapy_worker.shared.channel import AsyncChannel, Channel
from mecapy_worker.shared.frames import (
    MAX_HEADER_BYTES,
    STREAM_BYTES,
    Decoder,
    Frame,
    FrameError,
    encode,
)

prefix = struct.Struct("!BHII").pack  # lengths of kind, header and body, and the files between


@pytest.fixture
def pair():
    with_closing = socket.socketpair()
    yield with_closing
    for sock in with_closing:
        sock.close()


def test_frame_arrives_as_sent(pair):
    """Kind, header, body and open files arrive,
    more files than one message of the kernel carries.
    """
    left, right = map(Channel, pair)
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(600)]
    body = os.urandom(1 << 20)
    sent = Frame("task", {"a": [1, "é"]}, body, tuple(files))
    sender = threading.Thread(target=left.send_frame, args=(sent,))
    sender.start()
    frame = right.receive()
    sender.join()
    assert frame is not None
    assert (frame.kind, frame.header, frame.body) == ("task", {"a": [1, "é"]}, body)
    assert len({os.fstat(fd).st_ino for fd in frame.fds}) == 1 and len(frame.fds) == 600
    assert not any(map(os.get_inheritable, frame.fds))
    for fd in (*files, *frame.fds):
        os.close(fd)


def open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


def test_end_is_none(pair):
    """A closed other end is None, not an error."""
    pair[0].close()
    assert Channel(pair[1]).receive() is None


@pytest.mark.parametrize("size", [1, 7, 8, 9, 100])
def test_frames_in_pieces(size):
    """However the bytes are cut, the same frames come out."""
    frames = [Frame("a", {"n": 1}, b"body"), Frame("b"), Frame("c", {}, b"\0" * 50)]
    data, decoder, found = b"".join(map(encode, frames)), Decoder(), []
    for at in range(0, len(data), size):
        decoder.feed(data[at : at + size])
        found += decoder.frames()
    assert found == frames


@pytest.mark.parametrize(
    "data",
    [
        prefix(1, 0, MAX_HEADER_BYTES + 1, 0),
        prefix(1, 0, 0, 2000),
        prefix(1, 0, 1, 0) + b"ax",
        prefix(1, 0, 2, 0) + b"a[]",
        prefix(0, 0, 2, 0) + b"{}",
        prefix(1, 0, 2, 0) + b"\xff{}",
        prefix(1, 1, 2, 0) + b"a{}",
        prefix(1, 2000, 2, 0) + b"a{}",
        prefix(1, 0, 100000, 0) + b"a" + b"[" * 100000,
    ],
)
def test_garbage_is_a_frame_error(data):
    """Whatever does not parse, or claims too much, is refused before anything of its size is
    allocated.
    """
    decoder = Decoder(max_body_bytes=1000)
    decoder.feed(data)
    with pytest.raises(FrameError):
        decoder.next()


@pytest.mark.parametrize(
    "frame",
    [
        Frame("progress", {"pad": "x" * 70_000}),
        Frame("stream", {"name": "stdout"}, bytes(STREAM_BYTES + 1)),
    ],
)
def test_only_some_kinds_may_be_large(frame: Frame) -> None:
    """The others are refused before they are there."""
    decoder = Decoder(large=frozenset({"outcome"}))
    decoder.feed(encode(frame)[:1000])
    with pytest.raises(FrameError, match="larger than its kind"):
        decoder.next()


def test_a_large_frame_of_a_large_kind() -> None:
    """It arrives, in whatever pieces."""
    frame, decoder = (
        Frame("outcome", {"pad": "x" * 70_000}, bytes(STREAM_BYTES + 1)),
        Decoder(large=frozenset({"outcome"})),
    )
    data = encode(frame)
    for piece in (data[:3], data[3:14], data[14:1000]):
        decoder.feed(piece)
        assert decoder.next() is None
    decoder.feed(data[1000:])
    found = decoder.next()
    assert found == frame and found.size_bytes == len(data)


async def test_worker_takes_no_files(pair):
    """Files a child attaches never reach the worker:
    the frame is refused and nothing stays open.
    """
    before = open_files()
    with socket.socket() as file:
        Channel(pair[0]).send_frame(Frame("a", fds=(file.fileno(),)))
    with pytest.raises(FrameError):
        await AsyncChannel(pair[1]).receive()
    assert before == open_files()


def test_fork_may_not_speak(pair):
    """A fork of the owner cannot write into its frames."""
    channel = Channel(pair[0])
    pid = os.fork()
    if pid == 0:
        try:
            channel.send_frame(Frame("a"))
        except FrameError:
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0
