"""The same cell again while its task runs: ask before submitting it twice, or attach to the task.
This is also how a user returns after a kernel restart.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime

from IPython.core.error import StdinNotImplementedError

from mecapy_jupyter import wire
from mecapy_jupyter.cells import history, submitter
from mecapy_jupyter.cells.prepared import Prepared
from mecapy_jupyter.client import gateway_api
from mecapy_jupyter.client.client import Client
from mecapy_jupyter.client.task import Task
from mecapy_jupyter.shared import errors
from mecapy_jupyter.shared.units import clock


def taken_up(client: Client, prepared: Prepared) -> Task | None:
    """The cell's running task, if the user does not want a second one; None: submit.

    If nobody can answer, only the task of a dead kernel counts, because equal text in the same
    folder may be another run with other inputs.
    """
    task_id = history.last_task(prepared.key.here)
    found = _look(client, task_id) if task_id else None
    if found is None:
        return None
    short, since = task_id[:8], _since(found)
    if found.final:
        history.ended(prepared.key.here, task_id)
        if found.status == wire.COMPLETED:
            print(
                f"mecapy: this cell's last task completed after {since}, but its result did not "
                f"come home; `%mecapy attach {short}` brings it here"
            )
        return None
    answer = _ask(
        f"This cell's task {short} is still {found.status} ({since}). Submit it a second time? "
        f"[y/N] "
    )
    if answer or (answer is None and not _left_behind(prepared, task_id)):
        return None
    prepared.key.submitted(task_id, prepared.values)
    print(
        f"mecapy: this cell's task {short} is still {found.status} ({since}): attached to it, "
        f"nothing was submitted"
    )
    return client.attach(task_id, found.name, prepared.shell.user_ns)


def _look(client: Client, task_id: str) -> wire.TaskStatus | None:
    try:
        return gateway_api.task(client.gateway, task_id)
    except (errors.NotFound, errors.Refused):  # deleted, or of another gateway
        return None


def _left_behind(prepared: Prepared, task_id: str) -> bool:
    """Whether it is this cell's task, with equal inputs, of a dead kernel."""
    by = history.submitter(prepared.key.here, task_id)
    return submitter.gone(by) and submitter.same_inputs(by, prepared.values)


def _since(task: wire.TaskStatus) -> str:
    now = datetime.now(UTC)
    began, ended = task.started_at or task.created_at or now, task.completed_at or now
    return clock((ended - began).total_seconds())


def _ask(question: str) -> bool | None:
    """Yes or no; None if nobody can answer."""
    if os.environ.get("MECAPY_NONINTERACTIVE"):
        return None
    try:
        return input(question).strip().lower() in ("y", "yes")
    except (StdinNotImplementedError, EOFError, OSError):
        return None
