"""Workflows: named graphs of tasks."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from mecapy_jupyter.wire.shape import Shape
from mecapy_jupyter.wire.states import BLOCKED, CANCELLED, COMPLETED, FAILED, QUEUED, RUNNING, State

WorkflowState = Literal["empty", "running", "completed", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class WorkflowTask(Shape):
    """A task of one. `parents`: the ids of the tasks whose results it needs, perhaps of others."""

    task_id: str
    name: str = ""
    status: State = QUEUED
    parents: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class WorkflowStatus(Shape):
    """`counts`: tasks by state; `tasks`: the oldest first, empty in a list."""

    workflow_id: str
    name: str = ""
    created_at: datetime | None = None
    counts: dict[str, int] = field(default_factory=dict[str, int])
    tasks: tuple[WorkflowTask, ...] = ()

    @property
    def status(self) -> WorkflowState:
        """`running` until all of its tasks are final; then as the worst of them."""
        if not self.counts:
            return "empty"
        if self.counts.keys() & {BLOCKED, QUEUED, RUNNING}:
            return "running"
        if FAILED in self.counts:
            return "failed"
        return "cancelled" if CANCELLED in self.counts else "completed"

    @property
    def progress(self) -> float:
        """The completed part of its tasks, from 0 to 1."""
        return self.counts.get(COMPLETED, 0) / (sum(self.counts.values()) or 1)
