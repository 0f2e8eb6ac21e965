"""Users, organisations and tasks, as managers and admins see them."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

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
    id: str = ""
    name: str = ""
    email: str = ""
    organisation: str = ""
    role: str = "user"
    disabled: bool = False
    seen_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class OrganisationInfo(Limits):
    """`tasks`: how many there ever were, by state. `budget`: euros a day, None: no limit; `euros`:
    of this month.
    """

    id: str = ""
    users: int = 0
    budget: float | None = None
    euros: float = 0.0
    euros_today: float = 0.0
    tasks: dict[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, slots=True)
class MonthlyUse(Shape):
    """What one user's tasks took in a month."""

    user: str
    user_name: str = ""
    organisation: str = ""
    cpu_hours: float = 0.0
    tasks: int = 0
    euros: float = 0.0


@dataclass(frozen=True, slots=True)
class MonthlyReport(Shape):
    """One organisation's month. `tasks`: attempts; `ended`: tasks by their last state."""

    organisation: str = ""
    cpu_hours: float = 0.0
    tasks: int = 0
    euros: float = 0.0
    ended: dict[str, int] = field(default_factory=dict[str, int])
    wait_p50_s: float = 0.0
    wait_p99_s: float = 0.0


@dataclass(frozen=True, slots=True)
class TaskOfUser(Shape):
    """Whose task it is and how it stands; nothing of what it holds."""

    task_id: str
    name: str = ""
    status: str = ""
    user: str = ""
    user_name: str = ""
    created_at: datetime | None = None
