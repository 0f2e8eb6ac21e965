"""What is installed is read again when a task holds all files that the worker may open."""

from __future__ import annotations

import asyncio
import errno

import pytest

from mecapy_worker.run.consumer import Consumer
from mecapy_worker.upkeep import installed_packages


async def test_it_is_read_again(worker: Consumer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, the error ended the worker, and its tasks with it."""
    read = list[int]()
    twice, loop = asyncio.Event(), asyncio.get_running_loop()

    def packages() -> dict[str, list[str]]:
        read.append(1)
        if len(read) == 1:
            raise OSError(errno.EMFILE, "Too many open files")
        loop.call_soon_threadsafe(twice.set)
        return {"numpy": ["numpy", "2.0"]}

    monkeypatch.setattr(installed_packages, "packages", packages)
    telling = asyncio.create_task(installed_packages.tell(worker.context))
    async with asyncio.timeout(60):
        await twice.wait()
    assert not telling.done()
    telling.cancel()
