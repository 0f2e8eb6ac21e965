"""One stack for each file: its tests break it one after the other, and each leaves it whole."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip(
    "mecapy_backend.stack.services",
    reason="needs the server parts (pip install 'mecapy-jupyter[local]')",
)
pytest.importorskip(
    "mecapy_worker.main", reason="needs the server parts (pip install 'mecapy-jupyter[local]')"
)

from ..gate import Gate
from .promises import settle
from .services import Postgres, upgrade
from .stack import Stack


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a PostgreSQL with our tables, made once."""
    folder = tmp_path_factory.mktemp("cluster") / "pg"
    with Postgres.start(folder) as server:
        upgrade(server.url)
    return folder


@pytest.fixture(scope="module")
def bare_stack(cluster: Path) -> Iterator[Stack]:
    """PostgreSQL, Valkey and one gateway; no workers. Not in pytest's own folder, whose path is too
    long for sockets.
    """
    with tempfile.TemporaryDirectory(prefix="mecapy-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o711)
        with Stack(Path(folder), cluster) as stack:
            stack.gateway()
            yield stack


@pytest.fixture
def stack(bare_stack: Stack) -> Iterator[Stack]:
    """That stack with two workers, whatever the test before has killed. When the test is over,
    every task must have its end.
    """
    while len(bare_stack.of("worker")) < 2:
        bare_stack.worker()
    yield bare_stack
    settle(bare_stack)


@pytest.fixture
def gate(stack: Stack) -> Iterator[Gate]:
    """`gate.wait` is a line of a task that ends when the test calls `gate.open()`, or is over:
    what a fault must hit runs until it has struck.
    """
    gate = Gate()
    yield gate
    gate.open()
