"""The gateway holds no large body: measured on the real process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

pytest.importorskip(
    "mecapy_backend.api.app", reason="needs the server parts (pip install 'mecapy-jupyter[local]')"
)

from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.shared import errors
from mecapy_jupyter.travel.pickling import known_blobs

from ..conftest import TOKEN

SIZE = 256 << 20
GROWS_BYTES = 64 << 20


@pytest.fixture
def process(
    database_url: str, redis_url: str, tmp_path: Path
) -> Iterator[tuple[Gateway, psutil.Process]]:
    """`mecapy gateway` as a process of its own."""
    settings = {
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "BLOB_URL": f"file://{tmp_path}/blobs",
        "TOKEN": TOKEN,
    }
    environment = os.environ | {f"MECAPY_{name}": value for name, value in settings.items()}
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [
            sys.executable,
            "-m",
            "mecapy_jupyter.cli",
            "gateway",
            "--fd",
            str(listener.fileno()),
        ]
        with subprocess.Popen(command, env=environment, pass_fds=[listener.fileno()]) as running:
            gateway = Gateway(f"http://127.0.0.1:{listener.getsockname()[1]}", TOKEN)
            try:
                _until_ready(gateway, running)
                yield gateway, psutil.Process(running.pid)
            finally:
                running.terminate()
                running.wait(120)


def _until_ready(gateway: Gateway, running: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + 240
    while True:
        try:
            gateway.get("/me")
            return
        except errors.MecapyError:
            assert running.poll() is None and time.monotonic() < until
            time.sleep(0.05)


def test_large_bodies_pass_through(process: tuple[Gateway, psutil.Process]) -> None:
    """256 MiB up and down over HTTP leave its peak memory where it was."""
    gateway, measured = process
    data = bytearray(SIZE)
    data[::4096] = os.urandom(SIZE // 4096)
    digest = known_blobs.hashed(data)
    gateway.put_bytes("/blobs/" + known_blobs.hashed(b"warm"), b"warm")
    before = measured.memory_info().rss
    gateway.put_bytes(f"/blobs/{digest}", data)
    assert sum(len(piece) for piece in gateway.get_pieces(f"/blobs/{digest}")) == SIZE
    peak = _peak_bytes(measured.pid) or measured.memory_info().rss
    assert peak - before < GROWS_BYTES


def _peak_bytes(pid: int) -> int | None:
    """The most it ever had."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return None
    return next(
        int(line.split()[1]) * 1024
        for line in status.read_text().splitlines()
        if line.startswith("VmHWM")
    )
