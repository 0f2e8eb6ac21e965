"""What a task keeps for its next attempt: from the child's side. The worker stores the file."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from mecapy_jupyter.travel import checkpoints
from mecapy_worker.shared.messages import CheckpointMessage, Message


def connect(send: Callable[[Message], object], outbox: str) -> None:
    """A new file each time, because the worker may still read the one before."""

    def save(content: bytes) -> None:
        draft = f"{outbox}/checkpoint.new"
        with open(draft, "wb") as file:  # noqa: PTH123
            file.write(content)
        os.replace(draft, f"{outbox}/checkpoint")  # noqa: PTH105
        send(CheckpointMessage())

    checkpoints.connect(save)


def take(fds: Sequence[int]) -> Sequence[int]:
    """The last one is the earlier attempt's; the others."""
    with os.fdopen(fds[-1], "rb") as stored:
        checkpoints.hold(stored.read())
    return fds[:-1]
