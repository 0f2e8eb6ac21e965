"""A task on its way to the gateway: values are packed, what the store lacks is uploaded, the
request is signed and submitted.
"""

from __future__ import annotations

import dataclasses
import functools
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from mecapy_jupyter import wire
from mecapy_jupyter.capture import packing
from mecapy_jupyter.client import (
    blob_transfer,
    current_workflow,
    deferred_interrupt,
    requirements,
    result_cache,
    signing,
)
from mecapy_jupyter.client.caching_task import CachingTask
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.client.problems import BlobsMissing
from mecapy_jupyter.client.result_cache import CacheInputs
from mecapy_jupyter.client.task import Task
from mecapy_jupyter.shared import errors, version
from mecapy_jupyter.travel.environment import setup_cells
from mecapy_jupyter.travel.files.gather import Along
from mecapy_jupyter.travel.pickling import awaited, payload


@dataclass(frozen=True, slots=True)
class PackedCall:
    """A request and its packed values. `parents`: the Futures among these, by the ids of their
    tasks.
    """

    request: wire.TaskRequest
    packed: payload.Packed
    namespace: dict[str, Any]
    parents: Mapping[str, Future[Any]]


def prepared(
    gateway: Gateway,
    request: wire.TaskRequest,
    values: Mapping[str, Any],
    namespace: dict[str, Any],
    words: Sequence[str] = (),
    imports: Sequence[str] = (),
    check: Callable[[payload.Packed], None] = lambda _: None,
    folder: Along | None = None,
    cache: CacheInputs | None = None,
) -> PackedCall:
    """Pack `values`. `words`, `imports`: as for `prelude.make`. `check` may raise first. `cache`: a
    kept result will do.
    """
    request = requirements.added(request)
    with awaited.meeting(as_futures=request.cell is not None) as met:
        packed = packing.pack(
            values, namespace, words, imports, gateway.secret_in, folder, request.keep
        )
    check(packed)
    if any(gateway.secret_in(bytes(text)) for text in (packed.stream, *packed.ahead)):
        raise errors.CannotSend(_token_in(values, gateway))
    if cache is not None:
        in_graph = bool(met.futures or current_workflow.id_of.get())
        request = result_cache.with_keys(request, values, packed, cache, in_graph=in_graph)
    return PackedCall(request, packed, namespace, met.futures)


def submit(
    gateway: Gateway,
    ready: PackedCall,
    on_task: Callable[[Task], object] = lambda _: None,
    *,
    followed: bool = True,
) -> Task:
    """Upload what the store lacks, and submit. `on_task`, `followed`: as of
    `Client.submit_prepared`.
    """
    packed = ready.packed
    sent, sent_bytes, believed = _upload(gateway, packed)
    request = current_workflow.in_graph(ready.request, ready.parents)
    request = dataclasses.replace(request, payload=sent, python=version.minor())
    ready = dataclasses.replace(ready, request=request)
    enter = functools.partial(_entered, gateway, uuid.uuid4().hex, ready, on_task, followed)
    try:
        task = enter()
    except BlobsMissing:
        sent_bytes += blob_transfer.complete(gateway, believed)
        task = enter()
    task.parents = tuple(ready.parents.values())
    task.sent_bytes, task.reused_bytes = sent_bytes, packed.size_bytes - sent_bytes
    return task


def _entered(
    gateway: Gateway,
    key: str,
    ready: PackedCall,
    on_task: Callable[[Task], object],
    followed: bool,
) -> Task:
    with deferred_interrupt.DeferredInterrupt() as interrupt:
        enter = gateway.submit if followed else gateway.enqueue
        request = ready.request
        submitted, events = enter(signing.signed(request).as_json(), key)
        about = submitted.task_id, request.name, ready.packed, ready.namespace, events
        if request.cache is None:
            task = Task(gateway, *about)
        else:
            task = CachingTask(gateway, *about, request=request, submitted=submitted)
        on_task(task)
        if interrupt.came:
            task.cancel()
    task.events.put(wire.Event.of(submitted))
    return task


def _upload(
    gateway: Gateway, packed: payload.Packed
) -> tuple[wire.Payload, int, Mapping[str, memoryview]]:
    """Send the buffers that the store lacks. Returns the digests for the request, the bytes sent,
    and the believed ones.
    """
    inline = len(packed.stream) <= wire.INLINE_BYTES
    beside = packed.buffers if inline else [packed.stream, *packed.buffers]
    sent = blob_transfer.send(gateway, beside)
    if not inline:
        whole = wire.Payload(b"", sent.digests[0], sent.digests[1:])
        return whole, sent.sent_bytes, sent.believed
    sent_bytes = sent.sent_bytes + len(packed.stream)
    return wire.Payload(packed.stream, "", sent.digests), sent_bytes, sent.believed


def _token_in(values: Mapping[str, Any], gateway: Gateway) -> str:
    """The name of the value or setup cell that contains the token."""
    texts = {name: value for name, value in values.items() if isinstance(value, str)}
    texts |= {f"setup cell {cell.number}": cell.text for cell in setup_cells.all_cells()}
    named = [name for name, text in texts.items() if gateway.secret_in(text.encode())]
    return (
        f"{', '.join(named) or 'one of the variables'} holds your MecaPy token, which does not "
        f"travel: keep it out of what the cell reads"
    )
