"""One stack for all tests that run notebooks, started as `make demo` starts it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from notebooks.run_demo import Stack, stack, without_mecapy


@pytest.fixture(scope="session")
def running_stack() -> Iterator[Stack]:
    """Not in pytest's own temporary folder: its path is longer than a socket's may be for some users."""
    folder = tempfile.mkdtemp(prefix="mecapy-notebooks-")
    try:
        with stack(Path(folder)) as at:
            yield at
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def kernel_environment(running_stack: Stack) -> dict[str, str]:
    """The environment of a kernel whose `%%mecapy` cells go to that stack."""
    return without_mecapy() | {"MECAPY_URL": running_stack.url, "MECAPY_TOKEN": running_stack.token}
