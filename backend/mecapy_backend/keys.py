"""Every Redis key and channel, built in this one place. Redis may lose all of them at any moment; PostgreSQL is the truth.

Used by `queue` and `store.events`, and by the worker to wait in the queue and to listen for cancels.
"""

QUEUE = "mecapy:queue"
"""Sorted set: the ids of tasks that wait for a worker. Score: see `queue.score`."""

CONTROL = "mecapy:control"
"""Pub/sub channel: JSON `{"cancel": task_id}` to all workers. A lost message is made good at the next lease renewal."""


def events(task_id: str) -> str:
    """Stream: the events of one task."""
    return f"mecapy:events:{task_id}"
