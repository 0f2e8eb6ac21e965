"""What is installed: the modules and their distributions, read again when a task holds all files
that the worker may open.
"""

from __future__ import annotations

import asyncio
import errno
from importlib.metadata import packages_distributions, version

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
    async with asyncio.timeout(240):
        await twice.wait()
    assert not telling.done()
    telling.cancel()


async def test_modules_have_the_distributions_that_python_names() -> None:
    """A declared one (yaml), one known by its files (numpy), and all others."""
    found = installed_packages.packages()
    assert found["yaml"] == ["PyYAML", version("PyYAML")]
    assert found["numpy"] == ["numpy", version("numpy")]
    owners = packages_distributions()
    shared = owners.keys() & found.keys()
    assert len(shared) > 50
    assert {name: found[name] for name in shared} == {
        name: [owners[name][0], version(owners[name][0])] for name in shared
    }
