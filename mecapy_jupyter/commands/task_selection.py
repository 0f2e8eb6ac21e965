"""The tasks that a command means: an id, a prefix of one, `last`, or all that live."""

from __future__ import annotations

import re

from mecapy_jupyter import wire
from mecapy_jupyter.client import gateway_api
from mecapy_jupyter.client.gateway_api import task_pages
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.shared import errors

_WHOLE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_BEGINNING = re.compile(r"[0-9a-f-]+")
_PAGE = 500


def one(gateway: Gateway, wanted: str = "last") -> wire.TaskStatus:
    """The one task that is meant. Searches page by page from the newest; raises NotFound if the
    first page with a match has several.
    """
    if _WHOLE.fullmatch(wanted):
        return gateway_api.task(gateway, wanted)
    seen = 0
    for tasks in task_pages(gateway, 1 if wanted == "last" else _PAGE):
        seen += len(tasks)
        found = (
            tasks[:1]
            if wanted == "last"
            else [task for task in tasks if task.task_id.startswith(wanted)]
        )
        if len(found) == 1:
            return found[0]
        if found or not _BEGINNING.fullmatch(wanted):
            break
    else:
        found = []
    reason = (
        f"{len(found)} of your last {seen:,} tasks begin with {wanted!r}"
        if seen
        else "you have no tasks yet"
    )
    raise errors.NotFound(f"{reason}; `%mecapy tasks` lists them")


def alive(gateway: Gateway) -> list[wire.TaskStatus]:
    """All that wait or run."""
    found = [
        task
        for state in (wire.BLOCKED, wire.QUEUED, wire.RUNNING)
        for tasks in task_pages(gateway, _PAGE, state)
        for task in tasks
    ]
    return list({task.task_id: task for task in found}.values())
