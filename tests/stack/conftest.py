"""One real stack per module."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .running import Stack


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One stack for the tests of a module that leave it as whole as they found it."""
    running = Stack.up(tmp_path_factory.mktemp("stack") / "data")
    try:
        yield running
    finally:
        running.close()
