"""Every Redis key and channel. Redis may lose all of them at any moment; PostgreSQL is the
truth.
"""

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
