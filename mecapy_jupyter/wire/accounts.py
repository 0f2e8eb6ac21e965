"""Users, organisations and tasks, as managers and admins see them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from mecapy_jupyter.wire.json_fields import JsonObject
from mecapy_jupyter.wire.shape import Shape


@dataclass(frozen=True, slots=True)
class Limits(Shape):
    """Limits of a user or organisation; None: the gateway's setting."""

    weight: float = 1.0
    max_running: int | None = None
    max_queued: int | None = None
    cpu_hours: float | None = None
    quota_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class UserInfo(Limits):
    """`seen_at`: the last new login."""

    id: str = ""
    name: str = ""
    email: str = ""
    organisation: str | None = None
    role: str = "user"
    disabled: bool = False
    created_at: datetime | None = None
    seen_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class OrganisationInfo(Limits):
    """`budget`: euros a day (UTC), None: no limit. `resources`: of tasks that ask for none.
    `users`: how many are not deleted. `euros`: of this month, and of them `euros_today`. `tasks`:
    how many there ever were, by state, those of deleted users too.
    """

    id: str = ""
    name: str = ""
    budget: float | None = None
    resources: JsonObject | None = None
    users: int = 0
    euros: float = 0.0
    euros_today: float = 0.0
    tasks: dict[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class MonthlyUse(Shape):
    """What one user's tasks took in a month. `tasks`: attempts that ended; `euros`: for machines.
    Name and organisation are today's, empty if the user was erased.
    """

    user: str
    user_name: str = ""
    organisation: str | None = None
    cpu_hours: float = 0.0
    tasks: int = 0
    euros: float = 0.0


@dataclass(frozen=True, slots=True)
class MonthlyReport(Shape):
    """One organisation's month. `tasks`: attempts that ended; `ended`: tasks by their last state;
    `wait_p50_s`: until the first start, within 1 %.
    """

    organisation: str | None = None
    cpu_hours: float = 0.0
    tasks: int = 0
    euros: float = 0.0
    ended: dict[str, int] = field(default_factory=dict[str, int])
    wait_p50_s: float = 0.0
    wait_p99_s: float = 0.0


@dataclass(frozen=True, slots=True)
class TaskOfUser(Shape):
    """A task's owner and state; nothing of what it holds."""

    task_id: str
    name: str = ""
    status: str = ""
    user: str = ""
    user_name: str = ""
    organisation: str | None = None
    priority: int = 0
    created_at: datetime | None = None
    started_at: datetime | None = None
    completed_at: datetime | None = None
