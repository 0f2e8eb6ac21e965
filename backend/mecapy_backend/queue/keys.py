"""Every Redis key and channel. Redis may lose all of them at any moment; PostgreSQL is the
truth.
"""

from __future__ import annotations

from mecapy_jupyter.wire import POOL

QUEUE, SHORT = "mecapy:queue", "mecapy:queue:short"
"""The lanes of tasks that run on any Python. A lane is a sorted set with the task that starts next;
`fair.lua` keeps those behind it in keys with this prefix.
"""

CONTROL = "mecapy:control"
"""Pub/sub channel: JSON `{"cancel": task_id}` to all workers. The next lease renewal repeats a lost
message.
"""

PROBE, PROBE_OTHER = "mecapy:probe", "mecapy:probe:other"
"""Written and deleted by `health_probe`, to know whether Redis does what the queue asks."""


def lane(python: str = "", *, short: bool = False, machine_class: str = POOL) -> str:
    """The lane of tasks for this class of machines that need this Python ("3.12"; "": any)."""
    base = SHORT if short else QUEUE
    if machine_class != POOL:  # no Python is called so
        base = f"{base}:class:{machine_class}"
    return f"{base}:{python}" if python else base


def lanes(python: str, *, short: bool | None = None, machine_class: str = POOL) -> tuple[str, ...]:
    """The lanes that a worker of this class with this Python serves; `short`: only those, or only
    the others.
    """
    kinds = (False, True) if short is None else (short,)
    return tuple(
        lane(need, short=kind, machine_class=machine_class)
        for kind in kinds
        for need in ("", python)
    )


def control(worker: str) -> str:
    """Pub/sub channel of one worker: JSON `{"comms": task_id, "messages": […]}`."""
    return f"{CONTROL}:{worker}"


def events(task_id: str) -> str:
    """Stream: the events of one task."""
    return f"mecapy:events:{task_id}"


def page_secret(digest: str) -> str:
    """Text: a session of the page, or a link that logs in, by the digest of its secret."""
    return f"mecapy:page:{digest}"
