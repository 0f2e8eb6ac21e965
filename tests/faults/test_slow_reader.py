"""Readers of events who do not read cost their own connection and nothing else."""

from __future__ import annotations

import socket
import threading

import psutil
import pytest

from .processes import Process
from .stack import TOKEN, Stack
from .task import Task

LINES, LINE = 1000, 100_000
SPARE_BYTES = 40_000_000
"""How much a gateway may grow beside readers for whom a hundred megabytes wait: far less than what
waits for any one of them.
"""
PRINTS = f"for n in range({LINES}):\n    print(n, 'x' * {LINE})\n'printed'"


def deaf(gateway: Process, path: str) -> socket.socket:
    """Asks for a stream and never reads a byte of it."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(("127.0.0.1", gateway.port))
    sock.sendall(
        f"GET {path} HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
    )
    return sock


@pytest.mark.long
def test_a_hundred_megabytes_for_nobody(stack: Stack) -> None:
    """While a task prints 100 MB to readers that read nothing, the gateway does not grow and
    others' tasks come and go.
    """
    gateway = stack.of("gateway")[0]
    warm(stack)
    before = psutil.Process(gateway.pid).memory_info().rss
    task, most = stack.submit(PRINTS, "printed"), Most(gateway)
    readers = [deaf(gateway, f"/tasks/{task.id}/events") for _ in range(20)]
    try:
        with most:
            others = [stack.submit(f"{number}", number) for number in range(20)]
            for other in others:
                stack.final(other)
            stack.final(task)
            readers += [deaf(gateway, f"/tasks/{task.id}/events?follow=false") for _ in range(5)]
            warm(stack)
    finally:
        for reader in readers:
            reader.close()
    grown = most.rss_bytes - before
    print(f"{len(readers)} deaf readers: {grown / 1e6:+.1f} MB at most")
    assert grown < SPARE_BYTES
    assert lines_kept(stack, task) == LINES
    stack.until(lambda: open_streams(stack) == 0, "their streams have ended")


class Most:
    """The largest memory a process has while the block lasts."""

    def __init__(self, process: Process) -> None:
        self.rss_bytes = 0
        self._process, self._over = psutil.Process(process.pid), threading.Event()
        self._thread = threading.Thread(target=self._look)

    def _look(self) -> None:
        while not self._over.wait(0.05):
            self.rss_bytes = max(self.rss_bytes, self._process.memory_info().rss)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def warm(stack: Stack) -> None:
    for task in [stack.submit("print('warm')\n1", 1) for _ in range(10)]:
        list(stack.events(task))


def lines_kept(stack: Stack, task: Task) -> int:
    """How many lines the whole log has, which nobody cut."""
    with (
        stack.http() as http,
        http.stream("GET", f"/tasks/{task.id}/events", params={"follow": False}) as told,
    ):
        return sum(line.count("\\n") for line in told.iter_lines() if line.startswith("data:"))


def open_streams(stack: Stack) -> float:
    with stack.http() as http:
        text = http.get("/metrics").text
    return float(
        next(
            line for line in text.splitlines() if line.startswith("mecapy_event_streams ")
        ).split()[1]
    )
