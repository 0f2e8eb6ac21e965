"""Pools for the sandbox's tests. One pool serves a whole file, so every test is also the proof that
the one before did no harm.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from mecapy_worker.pool.pool import Pool

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from running import options  # noqa: E402


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if sys.platform != "linux":
        for item in items:
            if HERE in item.path.parents and "frames" not in item.path.name:
                item.add_marker(pytest.mark.skip("nothing confines a child here"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pool(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pool]:
    async with Pool(options(tmp_path_factory.mktemp("scratch"), sandbox="strict")) as pool:
        yield pool


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def small(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pool]:
    """A pool whose children may use little."""
    limits = {"memory_bytes": 256 << 20, "disk_bytes": 20 << 20, "processes": 40}
    async with Pool(options(tmp_path_factory.mktemp("small"), sandbox="strict", **limits)) as pool:
        yield pool
