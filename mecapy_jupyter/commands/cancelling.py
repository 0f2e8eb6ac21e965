"""Stops one task, or all that have not ended, and reports what became of each; for magic and
command.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mecapy_jupyter import wire
from mecapy_jupyter.client import gateway_api
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.commands import task_selection
from mecapy_jupyter.shared import errors, units


@dataclass(frozen=True, slots=True)
class Cancelled:
    """`outcome`: a state, "gone", or a sentence."""

    task_id: str
    name: str
    outcome: str

    @property
    def line(self) -> str:
        return f"{self.task_id[:8]} {units.clean(self.name, 60)}: {self.outcome}"


def cancelled(gateway: Gateway, wanted: str) -> Iterator[Cancelled]:
    """`wanted`: an id, the beginning of one, `last` or `all`. All get the request before any is
    waited for.
    """
    requested: dict[str, tuple[str, str]] = {}
    if wanted == "all":
        # A stopped task may stay in the list for a while. Tasks that have started meanwhile are
        # stopped, too.
        while new := [
            task for task in task_selection.alive(gateway) if task.task_id not in requested
        ]:
            requested |= _tell(gateway, new)
    else:
        requested = _tell(gateway, [task_selection.one(gateway, wanted)])
    for task_id, (name, state) in requested.items():
        outcome = _how_it_stopped(gateway, task_id) if state == wire.RUNNING else state
        yield Cancelled(task_id, name, outcome)


def _tell(gateway: Gateway, tasks: Sequence[wire.TaskStatus]) -> dict[str, tuple[str, str]]:
    """Ask them to stop. Returns their ids, names and the states this left them in."""
    requested: dict[str, tuple[str, str]] = {}
    for task in tasks:
        try:
            state: str = gateway_api.cancel(gateway, task.task_id).status
        except errors.NotFound:
            state = "gone"
        requested[task.task_id] = task.name, state
    return requested


def _how_it_stopped(gateway: Gateway, task_id: str) -> str:
    """Wait for the end of a task that is being stopped: a second, or what it takes to send home
    what it had.
    """
    with contextlib.suppress(errors.ConnectionFailed):
        for event in gateway.events(task_id):
            if event.type in wire.FINAL:
                took_s = wire.Outcome.from_json(event.data).stopped_s
                return (
                    event.type if took_s is None else f"{event.type}, stopped after {took_s:.1f} s"
                )
    return "asked to stop; the list of tasks shows whether it has stopped"
