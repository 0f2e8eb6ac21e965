"""A task that the cache may answer: with the result of an earlier run, or of a run that another
kernel has started.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from mecapy_jupyter import wire
from mecapy_jupyter.client import blob_transfer, result_cache, signing
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.client.problems import BlobsMissing
from mecapy_jupyter.client.task import Task, resumed_events
from mecapy_jupyter.shared import errors
from mecapy_jupyter.travel.pickling import payload


class CachingTask(Task):
    """`id` changes when another run's result was not kept and this task runs itself. `cached`: the
    run that the result comes from, once that is known.
    """

    def __init__(
        self,
        gateway: Gateway,
        task_id: str,
        name: str,
        packed: payload.Packed,
        namespace: dict[str, Any],
        events: Iterable[wire.Event] | None = None,
        *,
        request: wire.TaskRequest,
        submitted: wire.QueuedEvent,
    ) -> None:
        super().__init__(gateway, task_id, name, packed, namespace, events)
        self.cached: wire.CachedRun | None = None
        self.other_ids = list[str]()
        self._request, self._submitted = request, submitted
        self._waits, self._given_up = submitted.same_runs, False
        self._blobs = dict[str, Any]()

    def stream(self, first: Iterable[wire.Event] | None) -> Iterator[wire.Event]:
        """Events of the run that gives the result. Another submission of the same is waited for."""
        submitted = self._submitted
        while True:
            again = False
            if submitted.same_runs:
                self.events.put(wire.Event.of(wire.QueuedEvent(why_there=_waits_for(self.id))))
                for _ in resumed_events(self._gateway, self.id, first):
                    pass
            elif submitted.cached is None:
                yield from resumed_events(self._gateway, self.id, first)
                return
            elif found := self._found(submitted.cached, first):
                self.cached = submitted.cached
                yield from found
                return
            else:
                again = True
            if self._given_up:
                return
            submitted, first = self._submit_again(replace_kept=again)

    def _found(
        self, cached: wire.CachedRun, first: Iterable[wire.Event] | None
    ) -> list[wire.Event]:
        """Its events, if it was submitted with this user's key and its result is there whole."""
        if not signing.is_signed(wire.TaskRequest.from_json(cached.request)):
            return []
        try:
            events = list(resumed_events(self._gateway, self.id, first))
            outcome = wire.Outcome.from_json(events[-1].data) if events else None
            for digest in outcome.payload.digests if outcome and outcome.payload else ():
                self._blobs[digest] = super()._fetch(digest)
        except (errors.NotFound, errors.StorageFailed, errors.CannotReceive):
            return []
        return events

    def _submit_again(self, *, replace_kept: bool) -> tuple[wire.QueuedEvent, Iterable[wire.Event]]:
        assert self._request.cache is not None
        keys = replace(self._request.cache, again=replace_kept)
        body = signing.signed(replace(self._request, cache=keys)).as_json()
        try:
            submitted, events = self._gateway.submit(body, uuid.uuid4().hex)
        except BlobsMissing:  # nobody named them meanwhile
            blob_transfer.send_again(self._gateway, self.packed)
            submitted, events = self._gateway.submit(body, uuid.uuid4().hex)
        if submitted.task_id != self.id:
            self.other_ids.append(self.id)
        self._id, self._waits = submitted.task_id, submitted.same_runs
        self.events.put(wire.Event.of(submitted))
        return submitted, events

    def request_cancel(self, *, descendants: bool = False) -> bool:
        """A run that another kernel has started continues there."""
        if not self._waits:
            return super().request_cancel(descendants=descendants)
        self._given_up = True
        self.events.put(wire.Event.of(wire.Outcome(wire.CANCELLED)))
        if self._reader is not None:
            super(Task, self).cancel()
            self.set_running_or_notify_cancel()
        return True

    def _fetch(self, digest: str) -> Any:
        kept = self._blobs.pop(digest, None)
        return super()._fetch(digest) if kept is None else kept

    def settle(self, outcome: wire.Outcome) -> None:
        of_map = self.cached is not None and wire.TIMES in self.name
        if not of_map and (sentence := result_cache.remark(self.cached, outcome)):
            result_cache.say(self.name, sentence)
        super().settle(outcome)


def _waits_for(task_id: str) -> str:
    return f"waits for the same cell, which runs as task {task_id[:8]}"
