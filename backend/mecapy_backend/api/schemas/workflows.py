"""Workflows: named graphs of tasks."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mecapy_backend.api.schemas.common import Request
from mecapy_backend.api.schemas.tasks import TaskBody
from mecapy_jupyter import wire

MOST_TASKS = 20_000
NODE_NEED = rf"{wire.NEED}|^node:[^:\x00]+:[^:\x00]*$"
Key = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^:\x00]+$")]


class NodeBody(TaskBody):
    """A task of a new workflow, as `POST /tasks` takes it."""

    needs: dict[
        Annotated[str, Field(max_length=200)],
        Annotated[str, Field(pattern=NODE_NEED, max_length=500)],
    ] = Field(default={}, max_length=wire.MOST_NEEDS)
    """Variables that are results of others: `node:<name>:<variable>` of this workflow, or
    `task:<id>:<variable>`; without a variable the whole result.
    """


class WorkflowBody(Request):
    """A workflow, with tasks by name; or without, and tasks name it (`POST /tasks`)."""

    name: str = Field(min_length=1, max_length=200, pattern=r"^[^\x00]+$")
    tasks: dict[Key, NodeBody] = Field(default={}, max_length=MOST_TASKS)
    """Name → task; together they form no cycle."""
