"""What a run collects and starts is compiled once and kept, also where PYTHONDONTWRITEBYTECODE is
set: else each process of each run compiles all tests, which is half of what it takes to collect
them, and each server and kernel compiles what it imports of MecaPy. While tests run, and in what
they start, the setting is as it was.

Nor is it searched for garbage, while it is collected (a quarter of that time) or later.
"""

from __future__ import annotations

import compileall
import gc
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

_before = sys.dont_write_bytecode
sys.dont_write_bytecode = False


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    gc.disable()
    for folder in ("mecapy_jupyter", "backend", "worker"):
        compileall.compile_dir(Path(__file__).parents[1] / folder, quiet=2)
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    sys.dont_write_bytecode = _before


@contextmanager
def kept() -> Generator[None]:
    """What is imported inside is kept, too: pytest rewrites all modules of its plugins."""
    before, sys.dont_write_bytecode = sys.dont_write_bytecode, False
    try:
        yield
    finally:
        sys.dont_write_bytecode = before
