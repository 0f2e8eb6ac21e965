"""The workflow that tasks submitted now belong to."""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from dataclasses import replace

from mecapy_jupyter import wire

id_of: ContextVar[str] = ContextVar("mecapy_workflow", default="")


def in_graph(request: wire.TaskRequest, parents: Iterable[str]) -> wire.TaskRequest:
    """The request with the results it needs, each named by its task's id, in that workflow."""
    needs = {task_id: str(wire.Need(task_id)) for task_id in sorted(parents)}
    return replace(request, needs=needs, workflow=id_of.get())
