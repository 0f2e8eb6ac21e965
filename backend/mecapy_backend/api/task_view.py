"""A task in the REST API: its row and its attempts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from mecapy_backend.store.tasks import TaskRow
from mecapy_jupyter import wire
from mecapy_jupyter.shared.units import raised
from mecapy_jupyter.wire import Attempt, Outcome, TaskStatus


def status_of(task: TaskRow, keep_s: float) -> TaskStatus:
    """The task without its attempts and its place in the queue."""
    expires_at = task.completed_at + timedelta(seconds=keep_s) if task.completed_at else None
    outcome = Outcome.from_json(task.outcome) if task.outcome else None
    return TaskStatus(
        task_id=task.id,
        status=task.state,
        name=task.name,
        attempts=task.attempt,
        priority=task.priority,
        created_at=task.created_at,
        started_at=task.started_at,
        completed_at=task.completed_at,
        expires_at=expires_at,
        worker=task.worker,
        machine_class=task.machine_class,
        why_there=task.why_there,
        estimate_s=_estimate_s(task),
        cancel_requested=task.cancel_requested,
        result=outcome.result if outcome else None,
        error=outcome.error if outcome else None,
        parents=task.parents,
        workflow=task.workflow or "",
    )


def _estimate_s(task: TaskRow) -> float | None:
    """Raised, where the task has outlived it."""
    if task.estimate_s is None or task.started_at is None or task.state == wire.QUEUED:
        return task.estimate_s
    passed = (task.completed_at or datetime.now(UTC)) - task.started_at
    return raised(task.estimate_s, passed.total_seconds())


def attempts_of(task: TaskRow) -> tuple[Attempt, ...]:
    """The first one first; the last is the row's own, unless that waits to be begun again."""
    attempts = tuple(Attempt.from_json(earlier) for earlier in task.earlier)
    if task.attempt <= len(attempts):
        return attempts
    error = Outcome.from_json(task.outcome).error if task.outcome else None
    return (
        *attempts,
        Attempt(
            attempt=task.attempt,
            worker=task.worker,
            started_at=task.started_at,
            ended_at=task.completed_at,
            why=(error.kind if error else task.state) if task.final else "",
            message=error.message if error and task.final else "",
            machine_class=task.machine_class,
        ),
    )


def iso(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat() if at else None
