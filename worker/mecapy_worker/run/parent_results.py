"""The results of other tasks that a task needs: their blobs opened for its child, straight from the
store. Only of the same owner, because the child opens their pickles.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, replace

from mecapy_backend.store.tasks import ParentResult, StartedAttempt, graph
from mecapy_jupyter import wire
from mecapy_worker.context import Context
from mecapy_worker.retry import retry_transient
from mecapy_worker.run import failure_messages
from mecapy_worker.run.blob_retry import RetryingBlobStore
from mecapy_worker.run.open_inputs import InputsUnusable, open_inputs
from mecapy_worker.shared.frames import MAX_FDS
from mecapy_worker.shared.parent_input import ParentInput


@dataclass(frozen=True, slots=True)
class OpenedParents:
    """`streams`: for the body of the child's message; `fds`: for beside it."""

    inputs: tuple[ParentInput, ...] = ()
    streams: bytes = b""
    fds: tuple[int, ...] = ()


async def open_parents(
    work: Context, started: StartedAttempt, blobs: RetryingBlobStore, stack: AsyncExitStack
) -> OpenedParents:
    """`stack` closes the descriptors. Raises InputsUnusable."""
    needs = started.request.needs
    if not needs:
        return OpenedParents()
    ids = {wire.Need.parse(need).task_id for need in needs.values()}
    found = await retry_transient(
        "parents",
        lambda: graph.results(work.db, started.owner, ids),
        task=started.task_id,
    )
    missing = [id for id in sorted(ids) if id not in found or found[id].state != wire.COMPLETED]
    if missing:
        raise InputsUnusable(failure_messages.no_parent(missing[0]))
    inputs, streams, fds = list[ParentInput](), list[bytes](), list[int]()
    for id in sorted(ids):
        parent = found[id]
        for payload in (parent.outcome.payload, parent.sent if parent.outcome.payload else None):
            if payload is not None:
                fds += await open_inputs(work, started.owner, payload, blobs, stack)
                streams.append(payload.pickle)
        inputs.append(_input(parent))
        if len(fds) > MAX_FDS:
            raise InputsUnusable(failure_messages.too_many_inputs(len(fds), MAX_FDS))
    return OpenedParents(tuple(inputs), b"".join(streams), tuple(fds))


def _input(parent: ParentResult) -> ParentInput:
    label, outcome = graph.label(parent.name, parent.id), parent.outcome
    if outcome.payload is None:
        return ParentInput(parent.id, label, outcome.result)
    sent = parent.sent
    return ParentInput(
        parent.id,
        label,
        outcome.result,
        replace(outcome.payload, pickle=b""),
        replace(sent, pickle=b"") if sent else None,
        len(outcome.payload.pickle),
        len(sent.pickle) if sent else 0,
    )
