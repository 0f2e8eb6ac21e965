"""Every Redis key and channel, built in this one place. Redis may lose all of them at any moment;
PostgreSQL is the truth.
"""

QUEUE, SHORT = "mecapy:queue", "mecapy:queue:short"
"""The lanes of tasks that run on any Python. A lane is a sorted set: the task that a worker may
take next. Who waits behind it, `fair.lua` keeps in keys that begin so.
"""

CONTROL = "mecapy:control"
"""Pub/sub channel: JSON `{"cancel": task_id}` to all workers. A lost message is made good at the
next lease renewal.
"""

PROBE, PROBE_OTHER = "mecapy:probe", "mecapy:probe:other"
"""Written and deleted by `health_probe`, to know whether Redis does what the queue asks."""


def lane(python: str = "", *, short: bool = False) -> str:
    """The lane of tasks that need this Python ("3.12"; "": any will do)."""
    base = SHORT if short else QUEUE
    return f"{base}:{python}" if python else base


def lanes(python: str, *, short: bool | None = None) -> tuple[str, ...]:
    """The lanes that a worker with this Python serves; `short`: only those, or only the others."""
    kinds = (False, True) if short is None else (short,)
    return tuple(lane(need, short=kind) for kind in kinds for need in ("", python))


def events(task_id: str) -> str:
    """Stream: the events of one task."""
    return f"mecapy:events:{task_id}"
