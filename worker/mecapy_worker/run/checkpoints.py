"""Stores what a task keeps for its next attempt, and opens it there. The child may still change its
file, so its bytes are copied first; no pickle is opened here.
"""

from __future__ import annotations

import asyncio
import os
import stat
from contextlib import AsyncExitStack
from pathlib import Path

from mecapy_backend.store import tasks
from mecapy_backend.store.blobs.reservations import NoRoom
from mecapy_jupyter.shared.units import size
from mecapy_worker.context import Context
from mecapy_worker.log import log
from mecapy_worker.retry import retry_transient
from mecapy_worker.run.blob_retry import RetryingBlobStore
from mecapy_worker.shared.frames import MAX_FDS

NAME = "checkpoint"
_PIECE = 1024 * 1024


class CheckpointStore:
    """The checkpoints of one attempt."""

    def __init__(
        self, work: Context, started: tasks.StartedAttempt, blobs: RetryingBlobStore, outbox: Path
    ) -> None:
        self._work, self._started, self._blobs, self._outbox = work, started, blobs, outbox

    async def keep(self) -> str:
        """The file that the child wrote. Returns why it was not kept; "": it was."""
        copy = self._work.log_file(self._started).with_suffix(".checkpoint")
        most = self._work.settings.max_result_bytes
        try:
            await asyncio.to_thread(_copy, self._outbox / NAME, copy, most)
            digest = await self._blobs.adopt(copy)
            kept = await retry_transient(
                "checkpoint",
                lambda: tasks.keep_checkpoint(
                    self._work.db, self._started.task_id, self._started.attempt, digest
                ),
                task=self._started.task_id,
            )
        except NoRoom as full:
            return f"{full}"
        except OSError as problem:
            return problem.strerror or str(problem)
        finally:
            copy.unlink(missing_ok=True)
        log.info("checkpoint", task=self._started.task_id, attempt=self._started.attempt)
        return "" if kept else "the task was cancelled, or another worker has it"


async def opened(
    started: tasks.StartedAttempt, blobs: RetryingBlobStore, fds: int, stack: AsyncExitStack
) -> tuple[int, ...]:
    """The last attempt's, as a descriptor that `stack` closes. One that cannot be read is left out:
    the task begins anew. `fds`: how many go with it.
    """
    if not started.checkpoint or fds >= MAX_FDS:
        return ()
    try:
        fd = await blobs.open(started.checkpoint)
    except Exception as error:
        log.warning("checkpoint not opened", task=started.task_id, error=repr(error))
        return ()
    stack.callback(os.close, fd)
    return (fd,)


def _copy(source: Path, target: Path, most_bytes: int) -> None:
    """Raises OSError for what is no plain file, or too large."""
    fd = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(fd, "rb") as source_file, target.open("xb") as copied:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError("it is no file")
        left = most_bytes
        while piece := source_file.read(min(_PIECE, left + 1)):
            left -= len(piece)
            if left < 0:
                raise OSError(f"it is larger than {size(most_bytes)} (MECAPY_MAX_RESULT_BYTES)")
            copied.write(piece)
