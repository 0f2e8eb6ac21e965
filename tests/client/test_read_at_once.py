"""The thread that waits for a task reads what comes at once itself; what comes later, another."""

from __future__ import annotations

import json
import queue
import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from mecapy_jupyter import wire
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.client.task import Task
from mecapy_jupyter.travel.pickling import payload

ID = "0b0e7f3e-0000-4000-8000-000000000000"
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"
QUEUED = wire.QueuedEvent(task_id=ID)
OUTCOME = wire.Outcome(wire.COMPLETED)

Answer = Callable[[socket.socket], object]


def sent(id: str, body: wire.StdoutEvent | wire.QueuedEvent | wire.Outcome) -> bytes:
    """An event as the gateway sends it: one chunk."""
    event = wire.Event.of(body)
    text = f"id: {id}\nevent: {event.type}\ndata: {json.dumps(event.data)}\n\n".encode()
    return f"{len(text):x}\r\n".encode() + text + b"\r\n"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as opened:
        yield opened


def serve(listener: socket.socket, *answers: Answer) -> tuple[list[bytes], threading.Thread]:
    """One connection for each answer. Returns the heads of the requests, which grow, and the
    server's thread.
    """
    asked = list[bytes]()

    def each() -> None:
        for answer in answers:
            connection, _ = listener.accept()
            with connection:
                request = b""
                while b"\r\n\r\n" not in request:
                    request += connection.recv(65536)
                asked.append(request)
                answer(connection)

    thread = threading.Thread(target=each)
    thread.start()
    return asked, thread


def task_of(listener: socket.socket) -> Task:
    gateway = Gateway(f"http://127.0.0.1:{listener.getsockname()[1]}", "token")
    queued, events = gateway.submit({}, "key")
    return Task(gateway, queued.task_id, "", payload.Packed(b"", (), {}), {}, events)


def heard(task: Task) -> list[str]:
    """What it printed until its final event, each event's text once as it came."""
    texts = list[str]()
    while True:
        try:
            event = task.next_event(0.1)
        except queue.Empty:
            continue
        assert isinstance(event, wire.Event), event
        if event.type in wire.FINAL:
            return texts
        assert isinstance(event.body, wire.StdoutEvent)
        texts.append(event.body.text)


def reader_of(task: Task) -> bool:
    return f"mecapy {task.id[:8]}" in [thread.name for thread in threading.enumerate()]


def test_a_short_task_needs_no_thread(listener: socket.socket) -> None:
    """Also where several events came in one packet; the connection serves the next request."""

    def answer(connection: socket.socket) -> None:
        said = sent("1-0", wire.StdoutEvent("a")) + sent("2-0", wire.StdoutEvent("b"))
        connection.sendall(HEAD + sent("0-0", QUEUED) + said + sent("3-0", OUTCOME) + END)
        assert b"GET /me" in connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")

    _, server = serve(listener, answer)
    task = task_of(listener)
    assert heard(task) == ["a", "b"] and not reader_of(task)
    assert task.outcome == OUTCOME
    task.follow()  # nothing is left to read
    assert not reader_of(task)
    assert task._gateway.get("/me") == {}  # pyright: ignore[reportPrivateUsage]
    server.join()


def test_a_longer_one_is_read_on_by_a_thread(listener: socket.socket) -> None:
    """From where the first reader stopped, on the same connection."""
    more = threading.Event()

    def answer(connection: socket.socket) -> None:
        connection.sendall(HEAD + sent("0-0", QUEUED) + sent("1-0", wire.StdoutEvent("a")))
        more.wait()
        connection.sendall(sent("2-0", wire.StdoutEvent("b")) + sent("3-0", OUTCOME) + END)

    asked, server = serve(listener, answer)
    task = task_of(listener)
    first = task.next_event(1)
    assert isinstance(first, wire.Event) and first.data == {"text": "a"} and not reader_of(task)
    with pytest.raises(queue.Empty):
        task.next_event(0.01)
    assert reader_of(task)
    more.set()
    assert heard(task) == ["b"] and len(asked) == 1
    server.join()


def test_a_stream_that_breaks_is_resumed_after_what_was_read(listener: socket.socket) -> None:
    """Each event once: neither repeated nor lost."""

    def breaks(connection: socket.socket) -> None:
        connection.sendall(HEAD + sent("0-0", QUEUED) + sent("1-0", wire.StdoutEvent("a")))

    def goes_on(connection: socket.socket) -> None:
        connection.sendall(HEAD + sent("2-0", wire.StdoutEvent("b")) + sent("3-0", OUTCOME) + END)

    asked, server = serve(listener, breaks, goes_on)
    assert heard(task_of(listener)) == ["a", "b"]
    assert f"GET /tasks/{ID}/events".encode() in asked[1]
    assert b"Last-Event-ID: 1-0\r\n" in asked[1]
    server.join()
