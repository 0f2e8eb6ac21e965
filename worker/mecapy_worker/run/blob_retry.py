"""Reads and writes a task's blobs while the object store or PostgreSQL may be unavailable: repeats
each call within `MECAPY_STORE_PATIENCE_S` and while the task is wanted. An input with a wrong
digest is deleted, so that running the cell again sends it again.
"""

from __future__ import annotations

import asyncio
import errno
import sys
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar

from botocore.exceptions import BotoCoreError, ClientError  # pyright: ignore[reportMissingTypeStubs]

from mecapy_backend.store.blobs import blob_rows, reservations
from mecapy_backend.store.blobs.blob_types import RowLock, WrongDigest
from mecapy_backend.store.tasks import StartedAttempt
from mecapy_worker import metrics
from mecapy_worker.context import Context, RunningTask
from mecapy_worker.log import log
from mecapy_worker.retry import backoff, is_transient, retry_transient

T = TypeVar("T")


class StoreAway(OSError):
    """The object store was unavailable for the whole time."""


def out_of_files(error: BaseException) -> bool:
    """Waiting would not help: usually this task itself has the files open."""
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)


class RetryingBlobStore:
    """The store, for one attempt of a task."""

    def __init__(self, work: Context, started: StartedAttempt, running: RunningTask) -> None:
        self._work, self._owner, self._running = work, started.owner, running
        self._within = recorded(work, started.owner)

    async def adopt(self, path: Path) -> str:
        """Take over a finished file; its digest."""
        return (await self._retry(lambda: self._work.blobs.adopt(self._owner, path, self._within)))[
            0
        ]

    async def write(self, digest: str, data: bytes) -> None:
        await self._retry(
            lambda: self._work.blobs.write(self._owner, digest, _once(data), self._within)
        )

    async def open(self, digest: str) -> int:
        """A file descriptor of a blob. Not repeated: FileNotFoundError, WrongDigest, and too many
        open files.
        """
        return await self._retry(lambda: self._work.blobs.open(self._owner, digest))

    async def _retry(self, call: Callable[[], Awaitable[T]]) -> T:
        until, failures = time.monotonic() + self._work.settings.store_patience_s, 0
        while True:
            try:
                return await call()
            except FileNotFoundError:
                raise
            except (OSError, BotoCoreError, ClientError) as error:
                if out_of_files(error):
                    raise
                left_s = until - time.monotonic()
                if left_s <= 0 or self._running.stop_reason:
                    raise StoreAway(str(error) or type(error).__name__) from error
                failures += 1
                metrics.waits.labels("store").inc()
                log.warning(
                    "waiting",
                    what="store",
                    task=self._running.task_id,
                    failures=failures,
                    error=repr(error),
                )
            with suppress(TimeoutError):
                async with asyncio.timeout(min(backoff.compute(failures), left_s)):
                    await self._running.stopped.wait()


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data


def recorded(work: Context, owner: str) -> RowLock:
    """`reservations.reserving`, repeated while PostgreSQL is unavailable. Entering it raises
    NoRoom.
    """
    storing = reservations.reserving(work.db, owner, work.settings)

    @asynccontextmanager
    async def within(digest: str, size: int) -> AsyncGenerator[None]:
        stack = AsyncExitStack()
        await retry_transient(
            "blob", lambda: stack.enter_async_context(storing(digest, size)), digest=digest
        )
        try:
            yield
        except BaseException:
            await stack.__aexit__(*sys.exc_info())
            raise
        metrics.stored_bytes.inc(size)
        try:
            await stack.aclose()
        except Exception as error:  # the bytes are stored; `finish` names them again
            if not is_transient(error):
                raise
            log.warning("blob not recorded", digest=digest, error=repr(error))

    return within


async def forget_unusable(work: Context, owner: str, digest: str, error: Exception) -> None:
    """After `error` from opening this blob: it has other bytes, or is gone."""
    if isinstance(error, (FileNotFoundError, WrongDigest)):
        try:
            await retry_transient(
                "blob", lambda: blob_rows.discard(work.db, work.blobs, owner, digest), digest=digest
            )
            log.warning("blob forgotten", digest=digest, error=str(error))
        except Exception as again:  # the task fails either way, with the reason
            log.warning("blob not forgotten", digest=digest, error=repr(again))
