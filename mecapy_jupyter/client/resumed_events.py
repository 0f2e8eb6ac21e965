"""All events of a task, however often its stream breaks, and what is told where they end early."""

from __future__ import annotations

import time
from collections.abc import Iterable

from mecapy_jupyter import wire
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.shared import errors

_PATIENCE_S = 120.0  # how long a broken event stream is resumed before giving up


def resumed_events(
    gateway: Gateway,
    task_id: str,
    events: Iterable[wire.Event] | None = None,
    last_id: str = "",
) -> Iterable[wire.Event]:
    """All events of a task after `last_id`, each once and in order, over any number of connections.
    `events`: the first of these.
    """
    broken_at, pause_s = 0.0, 0.1
    while True:
        try:
            for event in events if events is not None else gateway.events(task_id, last_id):
                last_id, broken_at, pause_s = event.id, 0.0, 0.1
                yield event
                if event.type in wire.FINAL:
                    return
        except (errors.ConnectionFailed, errors.Unavailable):
            broken_at = broken_at or time.monotonic()
            if time.monotonic() - broken_at > _PATIENCE_S:
                raise
        events = None
        time.sleep(pause_s)
        pause_s = min(pause_s * 2, 5.0)


def unread(error: Exception) -> errors.MecapyError:
    """Shown to those who wait for a task if reading its end failed."""
    if isinstance(error, errors.MecapyError):
        return error
    return errors.CannotReceive(f"the task's end could not be read: {error!r}")
