"""At most once: a task that has used the network is not run a second time unasked, whatever becomes
of its worker.

The server counts. What has only asked, or was refused, or had no need of it, is run again as ever.
"""

from __future__ import annotations

import http.server
import signal
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mecapy_jupyter import wire

from ..gate import Gate
from ..http_server import QuietHandler
from .row_locks import locked, waiting_for_rows
from .stack import Stack
from .task import Task

FETCH = "import urllib.request\nurllib.request.urlopen({!r}, timeout=60).read()\n"
THEN = "print('went on', flush=True)\nimport time\ntime.sleep(600)"
"""For a task that is ended from outside."""
ASKED = (
    "import socket\ntry: socket.create_connection(('127.0.0.1', 1))\nexcept PermissionError: pass\n"
)


class Counted(http.server.ThreadingHTTPServer):
    """An HTTP server that knows how often it was asked."""

    count = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"


class _Handler(QuietHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Counted)
        self.server.count += 1
        self.send_response(204)
        self.end_headers()


@pytest.fixture(scope="module")
def serving() -> Iterator[Counted]:
    with Counted(("127.0.0.1", 0), _Handler) as opened:
        thread = threading.Thread(target=opened.serve_forever, args=(0.05,))
        thread.start()
        yield opened
        opened.shutdown()
        thread.join()


@pytest.fixture
def server(serving: Counted) -> Counted:
    serving.count = 0
    return serving


@pytest.fixture(scope="module")
def bare_stack(serving: Counted, cluster: Path) -> Iterator[Stack]:
    """Its workers may reach that server."""
    with tempfile.TemporaryDirectory(prefix="mecapy-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        with Stack(Path(folder), cluster, EGRESS=f"127.0.0.1:{serving.server_port}") as stack:
            stack.gateway()
            yield stack


def went_on(gate: Gate) -> str:
    return f"print('went on', flush=True)\n{gate.wait}'done'"


def ended_once(stack: Stack, task: Task) -> None:
    """As failed, with what happened and what to do, in the row and in what a notebook follows."""
    row = stack.final(task)
    assert (row["state"], row["attempt"], row["went_out"]) == ("failed", 1, True)
    assert (
        row["outcome"]
        and '"worker_lost"' in row["outcome"]
        and "had used the network" in row["outcome"]
    )
    *_, last = stack.events(task)
    assert isinstance(last.body, wire.Outcome) and last.body.state == "failed"
    assert last.body.error and last.body.error.kind == "worker_lost"
    assert "`--retries 1`" in last.body.error.message


@pytest.mark.long
def test_a_killed_worker(stack: Stack, server: Counted) -> None:
    """kill -9 of the worker of a task that has used the network: it fails, and the server was asked
    once.
    """
    task = stack.submit(FETCH.format(server.url) + THEN, state="failed")
    stack.until_running(task, "went on").kill()
    ended_once(stack, task)
    assert server.count == 1


@pytest.mark.long
@pytest.mark.parametrize("code", ["", ASKED], ids=["no network", "refused"])
def test_a_task_that_stayed_inside(stack: Stack, server: Counted, code: str, gate: Gate) -> None:
    """kill -9 on the same deployment, of one that has not used the network or was not let: it is
    run again.
    """
    task = stack.submit(code + went_on(gate), "done")
    stack.until_running(task, "went on").kill()
    gate.open()
    row = stack.final(task)
    assert (row["attempt"], row["losses"], row["went_out"]) == (2, 1, False)


@pytest.mark.long
def test_one_that_may_run_twice(stack: Stack, server: Counted, gate: Gate) -> None:
    """With `retries` its owner has said that it may: it is run again."""
    task = stack.submit(FETCH.format(server.url) + went_on(gate), "done", retries=1)
    stack.until_running(task, "went on").kill()
    gate.open()
    assert stack.final(task)["attempt"] == 2 and server.count == 2


def test_a_worker_that_leaves(stack: Stack, server: Counted) -> None:
    """SIGTERM, and the task outlasts the grace time: it is not handed back, and fails at once,
    without anybody else's help.
    """
    for worker in stack.of("worker")[1:]:
        stack.end(worker)
    task = stack.submit(FETCH.format(server.url) + THEN, state="failed")
    worker = stack.until_running(task, "went on")
    worker.signal(signal.SIGTERM)
    assert worker.ended() == 0
    assert stack.row(task)["state"] == "failed"
    ended_once(stack, task)
    assert server.count == 1


@pytest.mark.long
def test_a_zygote_that_dies(stack: Stack, server: Counted) -> None:
    """The child's own process dies with the zygote: likewise, with the log of what it had said."""
    task = stack.submit(FETCH.format(server.url) + THEN, state="failed")
    stack.until_running(task, "went on").zygote().kill()
    ended_once(stack, task)
    assert server.count == 1
    assert any(
        event.type == wire.STDOUT and "went on" in str(event.data["text"])
        for event in stack.events(task)
    )


def test_nothing_leaves_before_it_is_noted(stack: Stack, server: Counted, gate: Gate) -> None:
    """While the row cannot be written, the connection waits, and the server hears nothing."""
    code = f"print('up', flush=True)\n{gate.wait}{FETCH.format(server.url)}'done'"
    task = stack.submit(code, "done")
    stack.until_running(task, "up")
    with locked(stack, task):
        gate.open()
        stack.until(lambda: waiting_for_rows(stack, "went_out"), "it is to be noted")
        assert server.count == 0
    assert stack.final(task)["went_out"] and server.count == 1
