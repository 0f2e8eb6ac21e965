"""What holds a task back until a test lets it go on: no test need be faster than a task."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


class Gate:
    """Holds cells back until it is opened: they wait for a file to be gone, beside the interpreter,
    where a confined child can look.
    """

    def __init__(self) -> None:
        descriptor, name = tempfile.mkstemp(prefix=".gate-", dir=sys.prefix)
        os.close(descriptor)
        self._file = Path(name)
        self.path = name
        self.shut = f"__import__('os').path.exists({name!r})"
        self.wait = f"while {self.shut}: __import__('time').sleep(0.02)\n"

    def open(self) -> None:
        self._file.unlink(missing_ok=True)


@pytest.fixture
def gate() -> Iterator[Gate]:
    """`gate.wait` is a line of a cell that ends when the test calls `gate.open()`."""
    gate = Gate()
    yield gate
    gate.open()
