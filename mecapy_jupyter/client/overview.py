"""The data of `%mecapy`'s status."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mecapy_jupyter import wire
from mecapy_jupyter.client import gateway_api
from mecapy_jupyter.client.http import Gateway


@dataclass(frozen=True, slots=True)
class Overview:
    """`source`: where the gateway's address was found, in words. `tasks`: those that wait or run,
    then the last ones.
    """

    url: str
    source: str
    me: wire.Me
    workers: Sequence[wire.WorkerInfo] = ()
    tasks: Sequence[wire.TaskStatus] = ()


def overview(gateway: Gateway, source: str) -> Overview:
    me, tasks = gateway_api.me(gateway), list(gateway_api.tasks(gateway, 100))
    for state in (wire.RUNNING, wire.QUEUED, wire.BLOCKED):
        listed = {task.task_id for task in tasks}
        found = gateway_api.tasks(gateway, 20, state)
        tasks[:0] = [task for task in found if task.task_id not in listed]
    return Overview(gateway.url, source, me, gateway_api.workers(gateway), tasks)
