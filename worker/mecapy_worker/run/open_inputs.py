"""The blobs of a task's inputs, opened for its child."""

from __future__ import annotations

import os
from contextlib import AsyncExitStack, ExitStack

from mecapy_jupyter import wire
from mecapy_worker.context import Context
from mecapy_worker.run import failure_messages
from mecapy_worker.run.blob_retry import RetryingBlobStore, forget_unusable, out_of_files
from mecapy_worker.shared.frames import MAX_FDS


class InputsUnusable(Exception):
    """The inputs cannot be opened. `info` says it to the user."""

    def __init__(self, info: wire.ErrorInfo) -> None:
        super().__init__(info.message)
        self.info = info


async def open_inputs(
    work: Context,
    owner: str,
    payload: wire.Payload,
    blobs: RetryingBlobStore,
    stack: AsyncExitStack,
) -> tuple[int, ...]:
    """Descriptors that `stack` closes. Raises InputsUnusable, and then none is open: a worker that
    has no more of them could not report the failure.
    """
    if len(payload.digests) > MAX_FDS:
        raise InputsUnusable(failure_messages.too_many_inputs(len(payload.digests), MAX_FDS))
    fds: list[int] = []
    with ExitStack() as opened:
        for digest in payload.digests:
            try:
                fds.append(await blobs.open(digest))
            except Exception as error:
                opened.close()
                await forget_unusable(work, owner, digest, error)
                raise InputsUnusable(failure_messages.info("storage", _sentence(error))) from error
            opened.callback(os.close, fds[-1])
        stack.enter_context(opened.pop_all())
    return tuple(fds)


def _sentence(error: Exception) -> str:
    todo = (
        "stack arrays into fewer ones, or let the operators raise the worker's limit of open "
        "files (`ulimit -n`)"
        if out_of_files(error)
        else "run the cell again"
    )
    return f"An input could not be read ({str(error) or type(error).__name__}); {todo}."
