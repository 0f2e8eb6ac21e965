"""Disks that are full or read-only, as small file systems of this test's own: named in
/readyz?verbose and by the doctor, and nothing is lost.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import ANY

import httpx
import pytest

from mecapy_jupyter.client.client import Client

from .processes import Process
from .promises import settle
from .stack import Stack
from .task import Task

DATA = "print('up', flush=True)\nimport time\ntime.sleep(0.3)\ndata = bytes(range(256)) * {}"


@contextmanager
def mounted(folder: Path, megabytes: int) -> Generator[Path]:
    """A file system of this size."""
    folder.mkdir()
    if (
        os.geteuid()
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=711", "tmpfs", folder],
            check=False,
        ).returncode
    ):
        pytest.skip("needs the right to mount a file system")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def remounted(folder: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", folder], check=True)


@pytest.fixture(scope="module")
def small_disk(bare_stack: Stack) -> Iterator[Path]:
    with mounted(bare_stack.folder / "small", 80) as folder:
        yield folder


@pytest.fixture
def gateway(stack: Stack, small_disk: Path) -> Iterator[Process]:
    """A gateway, and one worker, whose blobs are on the small disk."""
    for worker in stack.of("worker"):
        stack.end(worker)
    blobs = f"file://{small_disk}/blobs"
    gateway, worker = stack.gateway(BLOB_URL=blobs), stack.worker(BLOB_URL=blobs)
    yield gateway
    settle(stack)
    stack.end(worker)
    stack.end(gateway)


def names(stack: Stack, gateway: Process, wrong: dict[str, str]) -> None:
    """Returns when these are the parts of a gateway that are not well; it is ready all the same."""
    with stack.http(gateway) as http:
        stack.until(
            lambda: not_well(http.get("/readyz?verbose")) == wrong,
            f"it names what is wrong: {wrong}",
        )
        assert http.get("/readyz").status_code == 200


def not_well(answer: httpx.Response) -> dict[str, str]:
    parts: dict[str, str] = answer.json()["parts"]
    return {part: state for part, state in parts.items() if state not in ("ok", "unknown")}


def test_store_full(stack: Stack, gateway: Process, small_disk: Path) -> None:
    """The disk of the object store is full: /readyz?verbose says so, small tasks run, a
    large result waits and is kept when there is room.
    """
    client = Client(gateway.url, "token-of-the-faults")
    filler = small_disk / "filler"
    filler.write_bytes(bytes(79_000_000))
    names(stack, gateway, {"store": "full"})
    task = client.run(DATA.format(40_000), outputs=["data"])
    big = stack.owed(Task(task.id, ANY))
    stack.until(
        lambda: '"what":"store"' in stack.of("worker")[0].said().replace(" ", ""),
        "the result waits",
    )
    assert stack.row(big)["state"] == "running"
    filler.unlink()
    assert stack.final(big)["attempt"] == 1 and task.vars["data"] == bytes(range(256)) * 40_000
    client.shutdown()


@pytest.mark.long
def test_store_read_only(stack: Stack, gateway: Process, small_disk: Path) -> None:
    """The object store became read-only: the same."""
    client = Client(gateway.url, "token-of-the-faults")
    remounted(small_disk, "ro")
    try:
        names(stack, gateway, {"store": "read-only"})
        small = stack.owed(Task(client.run("1 + 1").id, ANY))
        stack.final(small)
        task = client.run(DATA.format(4000), outputs=["data"])
        big = stack.owed(Task(task.id, ANY))
        stack.until(
            lambda: '"what":"store"' in stack.of("worker")[0].said().replace(" ", ""),
            "the result waits",
        )
    finally:
        remounted(small_disk, "rw")
    assert stack.final(big)["attempt"] == 1 and task.vars["data"] == bytes(range(256)) * 4000
    client.shutdown()


@pytest.mark.long
def test_disk_of_a_worker_full(stack: Stack, small_disk: Path) -> None:
    """A worker whose own disk is full takes no tasks and says why; another worker runs them, and it
    comes back when there is room.
    """
    for worker in stack.of("worker"):
        stack.end(worker)
    scratch = small_disk / "tmp"
    scratch.mkdir(mode=0o711)
    full = stack.worker(environment={"TMPDIR": str(scratch)})
    filler = scratch / "filler"
    filler.write_bytes(bytes(60_000_000))
    stack.submit("'before it looks'", "before it looks")
    stack.until(lambda: "takes no tasks" in full.said(), "it has noticed")
    waiting = stack.submit("'elsewhere'", "elsewhere")
    with stack.http() as http:
        health = stack.until(
            lambda: http.get("/workers").json()[0]["info"].get("health"), "its heartbeat says so"
        )
    assert "make room" in health["disk"] and stack.row(waiting)["state"] == "queued"
    other = stack.worker()
    assert str(other.pid) in stack.final(waiting)["worker"]
    stack.end(other)
    filler.unlink()
    assert str(full.pid) in stack.final(stack.submit("'again'", "again"))["worker"]
    stack.end(full)


@pytest.mark.long
def test_task_fills_the_disk(stack: Stack, small_disk: Path) -> None:
    """A task that fills its worker's disk fails with the system's own error; the worker clears up
    after it and serves on.
    """
    for worker in stack.of("worker"):
        stack.end(worker)
    worker = stack.worker(environment={"TMPDIR": str(small_disk)})
    task = stack.submit("open('all', 'wb').write(bytes(90_000_000))", state="failed")
    assert "No space left" in stack.final(task)["outcome"] or "disk" in stack.final(task)["outcome"]
    assert str(worker.pid) in stack.final(stack.submit("'next'", "next"))["worker"]
    stack.end(worker)
