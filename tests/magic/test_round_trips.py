"""How often a cell waits for the network, which over a slow line is most of its time."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from .conftest import Kernel


class Relay:
    """Passes bytes on between clients and a server. `turns`: how often a client has sent something
    after what it had received, or on a new connection: each costs a round trip of the network.
    """

    def __init__(self, server: tuple[str, int]) -> None:
        self._server, self._listener = server, socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.turns = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed at the end
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                self.turns += 1
                sends = threading.Event()
                for ends in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._pass, args=(*ends, sends), daemon=True).start()

    def _pass(
        self, source: socket.socket, target: socket.socket, upwards: bool, sends: threading.Event
    ) -> None:
        """`sends`: set while the client has the last word."""
        with contextlib.suppress(OSError), source, target:
            while data := source.recv(65536):
                if upwards and not sends.is_set():
                    self.turns += 1
                    sends.set()
                elif not upwards:
                    sends.clear()
                target.sendall(data)


@pytest.fixture
def relay(running_stack: Any, kernel: Kernel) -> Iterator[Relay]:
    """Between the kernel and the stack."""
    parts = urlsplit(str(running_stack.url))
    between = Relay((str(parts.hostname), int(parts.port or 80)))
    go_to = "import os; os.environ['MECAPY_URL'] = {!r}"
    was = kernel.run("import os; print(os.environ['MECAPY_URL'])").stdout.strip()
    kernel.run(go_to.format(between.url))
    yield between
    kernel.run(go_to.format(was))
    between.close()


# The last cell's connection is free again, which is told to nobody.
ENDED = """import re, threading
for thread in threading.enumerate():
    if re.fullmatch('mecapy [0-9a-f]{8}', thread.name):
        thread.join()
del thread
"""


def test_a_short_cell_takes_one(kernel: Kernel, relay: Relay) -> None:
    """Its request, whose answer also tells its end. The first one also connects, and asks what is
    installed on the workers, which is asked again after a minute: the fewest of five cells count.
    """
    assert kernel.run("%%mecapy\nx = 1 + 1").ok
    for code in ("x = x + 1", "print(x)", "[x] * 1000"):
        assert min(_turns(kernel, relay, code) for _ in range(5)) == 1, code


def test_beside_files_and_arrays_too(kernel: Kernel, relay: Relay, project: Path) -> None:
    """The store has what has not changed: the folder's files, their list, small arrays."""
    for number in range(400):
        (project / f"load_case_{number}.csv").write_text(f"{number}\n" * 50)
    assert kernel.run("%%mecapy\nimport numpy as np; x = np.arange(20_000.0)").ok
    assert min(_turns(kernel, relay, "y = float(x.sum())") for _ in range(5)) == 1
    assert kernel.value("y") == "199990000.0"


def _turns(kernel: Kernel, relay: Relay, code: str) -> int:
    assert kernel.run(ENDED).ok
    before = relay.turns
    assert kernel.run(f"%%mecapy\n{code}").ok
    return relay.turns - before
