"""The files of a task's inputs, which are opened for its child."""

from __future__ import annotations

import errno
import os
from contextlib import AsyncExitStack
from typing import Any, cast

import pytest

from mecapy_jupyter import wire
from mecapy_worker.run.open_inputs import InputsUnusable, open_inputs


class _Store:
    """Opens files until the worker may open no more."""

    def __init__(self, most: int) -> None:
        self.opened: list[int] = []
        self._most = most

    async def open(self, digest: str) -> int:
        if len(self.opened) == self._most:
            raise OSError(errno.EMFILE, "Too many open files", digest)
        self.opened.append(os.open(os.devnull, os.O_RDONLY))
        return self.opened[-1]


async def _open(store: _Store, stack: AsyncExitStack) -> tuple[int, ...]:
    payload = wire.Payload(b"", "", ("a", "b", "c"))
    nothing: Any = None  # the worker's context is asked only about blobs that are gone
    return await open_inputs(nothing, "owner", payload, cast(Any, store), stack)


def _is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


async def test_without_a_free_descriptor() -> None:
    """All are closed before the failure is reported, which needs connections and a file."""
    store = _Store(most=2)
    async with AsyncExitStack() as stack:
        with pytest.raises(InputsUnusable, match="Too many open files"):
            await _open(store, stack)
        assert not any(map(_is_open, store.opened))


async def test_until_the_task_has_ended() -> None:
    """What is open for the child is closed with the attempt."""
    async with AsyncExitStack() as stack:
        fds = await _open(_Store(most=3), stack)
        assert len(fds) == 3 and all(map(_is_open, fds))
    assert not any(map(_is_open, fds))
