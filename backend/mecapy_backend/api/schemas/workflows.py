"""Workflows: named graphs of tasks."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from mecapy_backend.api.schemas.common import Request, State
from mecapy_backend.api.schemas.tasks import TaskBody
from mecapy_jupyter import wire

MOST_TASKS = 20_000
NODE_NEED = rf"{wire.NEED}|^node:[^:\x00]+:[^:\x00]*$"
Key = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^:\x00]+$")]


class NodeBody(TaskBody):
    """A task of a new workflow, as `POST /tasks` takes it."""

    needs: Annotated[
        dict[
            Annotated[str, Field(max_length=200)],
            Annotated[str, Field(pattern=NODE_NEED, max_length=500)],
        ],
        Field(
            max_length=wire.MOST_NEEDS,
            description="variables that are results of others: `node:<name>:<variable>` of this "
            "workflow, or `task:<id>:<variable>`; without a variable the whole result",
        ),
    ] = {}


class WorkflowBody(Request):
    """A workflow, with tasks by name; or without, and tasks name it (`POST /tasks`)."""

    name: Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
    tasks: Annotated[
        dict[Key, NodeBody],
        Field(max_length=MOST_TASKS, description="by name; together they form no cycle"),
    ] = {}


class WorkflowTaskView(BaseModel):
    task_id: str
    name: str
    status: State
    parents: Annotated[list[str], Field(description="the tasks whose results it needs")]


class WorkflowView(BaseModel):
    workflow_id: str
    name: str
    status: Annotated[
        Literal["empty", "running", "completed", "failed", "cancelled"],
        Field(description="`running` until all of its tasks are final"),
    ]
    progress: Annotated[float, Field(description="completed part of its tasks, from 0 to 1")]
    created_at: datetime
    counts: Annotated[dict[str, int], Field(description="tasks by state")]
    tasks: Annotated[
        list[WorkflowTaskView], Field(description="oldest first, with edges; empty in a list")
    ]


class WorkflowListView(BaseModel):
    workflows: list[WorkflowView]
