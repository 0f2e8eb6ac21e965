"""A task as the REST surface shows it: its row, and the attempts it took."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from mecapy_backend.store import tasks

_TIMES = ("started_at", "ended_at")


def view(task: tasks.TaskRow, keep_s: float) -> dict[str, Any]:
    outcome = task.outcome or {}
    expires_at = task.completed_at + timedelta(seconds=keep_s) if task.completed_at else None
    return {
        "task_id": task.id,
        "name": task.name,
        "status": task.state,
        "position": None,
        "eta_s": None,
        "attempts": task.attempt,
        "priority": task.priority,
        "created_at": iso(task.created_at),
        "started_at": iso(task.started_at),
        "completed_at": iso(task.completed_at),
        "expires_at": iso(expires_at),
        "worker": task.worker,
        "cancel_requested": task.cancel_requested,
        "result": outcome.get("result"),
        "error": outcome.get("error"),
    }


def history(task: tasks.TaskRow) -> list[dict[str, Any]]:
    """Its attempts, the first one first; the last is the row's own, unless that waits to be begun
    again.
    """
    told = [
        earlier | {name: iso(datetime.fromisoformat(earlier[name])) for name in _TIMES}
        for earlier in task.earlier
    ]
    if task.attempt > len(told):
        times = {"started_at": iso(task.started_at), "ended_at": iso(task.completed_at)}
        told.append({"attempt": task.attempt, "worker": task.worker, **times, **_end(task)})
    return told


def _end(task: tasks.TaskRow) -> dict[str, str]:
    error: dict[str, Any] = (task.outcome or {}).get("error") or {}
    if not task.final:
        return {"why": "", "said": ""}
    return {"why": error.get("kind") or task.state, "said": error.get("message") or ""}


def iso(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat() if at else None
