"""Every Redis key and channel, built in this one place. Redis may lose all of them at any moment;
PostgreSQL is the truth.
"""

QUEUE, SHORT = LANES = "mecapy:queue", "mecapy:queue:short"
"""Sorted sets, one for each lane: the task that a worker may take next. Who waits behind it,
`fair.lua` keeps in keys that begin so.
"""

CONTROL = "mecapy:control"
"""Pub/sub channel: JSON `{"cancel": task_id}` to all workers. A lost message is made good at the
next lease renewal.
"""

PROBE = "mecapy:probe"
"""Written and deleted by `health`, to know whether Redis takes writes."""


def events(task_id: str) -> str:
    """Stream: the events of one task."""
    return f"mecapy:events:{task_id}"
