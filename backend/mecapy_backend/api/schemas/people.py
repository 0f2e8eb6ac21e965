"""Users, organisations, their tokens, limits and quotas, and the audit."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from mecapy_backend.api.schemas.common import Request, State
from mecapy_backend.api.schemas.tasks import ResourcesBody

PRINTABLE = r"^[^\x00-\x1f\x7f]*$"


class QuotaView(BaseModel):
    used: float
    limit: Annotated[float | None, Field(description="null: none")]
    left: float | None


class AuditLine(BaseModel):
    id: int
    at: datetime
    who: Annotated[str, Field(description="user id")]
    act: str
    what: Annotated[
        str, Field(description="id of the task, blob, user; with the status where it was refused")
    ]
    source: Annotated[str, Field(description="address the request came from")]
    request: Annotated[str, Field(description="its X-Request-ID, as in the gateway's log")]


class AuditView(BaseModel):
    lines: list[AuditLine]
    next: Annotated[int | None, Field(description="give it as `before` to get the next page")]


class MeView(BaseModel):
    owner: Annotated[str, Field(description="my user id here")]
    name: str
    email: str
    role: Literal["user", "manager", "admin"]
    organisation: str | None
    scopes: Annotated[list[str], Field(description="scopes of the token in use")]
    tasks: Annotated[
        dict[str, int], Field(description="queued (counted up to what I may have), running")
    ]
    limits: dict[str, float]
    weight: Annotated[
        float,
        Field(
            description="tasks of mine that start for each task of a user of weight 1, while "
            "all wait"
        ),
    ]
    quotas: Annotated[
        dict[str, QuotaView],
        Field(description="queued, running, bytes; of this month cpu_hours, euros"),
    ]
    organisation_quotas: dict[str, QuotaView] | None = None
    webhook_key: Annotated[
        str, Field(description="signs the webhooks of my tasks; empty: this gateway sends none")
    ] = ""


class NewTokenBody(Request):
    name: Annotated[str, Field(min_length=1, max_length=100, description="what it is for")]
    scopes: Annotated[
        list[Literal["tasks", "read", "admin"]], Field(min_length=1, description="its rights")
    ] = ["tasks", "read"]
    days: Annotated[
        float | None, Field(gt=0, le=3660, description="days until it expires; null: never")
    ] = 90.0


class ApiTokenView(BaseModel):
    id: str
    name: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime | None
    used_at: Annotated[datetime | None, Field(description="to within a minute")]


class NewTokenView(ApiTokenView):
    token: Annotated[str, Field(description="shown only once")]


class LoginLinkView(BaseModel):
    path: Annotated[str, Field(description="path of the page on this gateway")]
    valid_s: Annotated[float, Field(description="seconds until the link expires")]


class LimitsBody(Request):
    """Limits of a user or organisation; null: the settings' value."""

    weight: Annotated[
        float, Field(gt=0, le=1000, description="share of the pool, relative to others")
    ] = 1.0
    max_running: Annotated[
        int | None, Field(ge=1, le=10**6, description="tasks that run at once")
    ] = None
    max_queued: Annotated[
        int | None, Field(ge=0, le=10**6, description="tasks that wait at once")
    ] = None
    cpu_hours: Annotated[float | None, Field(ge=0, le=10**9, description="per month")] = None
    quota_bytes: Annotated[int | None, Field(ge=0, le=2**53, description="stored blobs")] = None


class OrganisationBody(LimitsBody):
    """The tasks of all its users together."""

    budget: Annotated[
        float | None,
        Field(ge=0, le=10**9, description="euros a day (UTC); then no machine starts for them"),
    ] = None
    resources: Annotated[
        ResourcesBody | None, Field(description="default for its tasks; null: none")
    ] = None


class UserBody(LimitsBody):
    disabled: bool = False


class NewUserBody(Request):
    """A user without an identity provider: a member of a small team, or a service."""

    name: Annotated[str, Field(min_length=1, max_length=200, pattern=PRINTABLE)]
    email: Annotated[str, Field(max_length=200, pattern=PRINTABLE)] = ""
    organisation: Annotated[str | None, Field(min_length=1, max_length=200, pattern=PRINTABLE)] = (
        None
    )
    role: Literal["user", "manager", "admin"] = "user"


class LimitsView(BaseModel):
    weight: float
    max_running: int | None
    max_queued: int | None
    cpu_hours: float | None
    quota_bytes: int | None


class UserView(LimitsView):
    id: str
    name: str
    email: str
    organisation: str | None
    role: Literal["user", "manager", "admin"]
    disabled: bool
    created_at: datetime
    seen_at: Annotated[datetime, Field(description="time of the last new login")]


class OrganisationView(LimitsView):
    id: str
    name: str
    budget: Annotated[float | None, Field(description="euros a day (UTC); null: any")]
    resources: ResourcesBody | None
    euros: Annotated[float, Field(description="what its tasks cost this month")]
    euros_today: Annotated[float, Field(description="what they cost today (UTC)")]
    users: int
    tasks: Annotated[
        dict[str, int],
        Field(description="state → count, deleted tasks included"),
    ]


class UsageView(BaseModel):
    user: str
    user_name: str
    organisation: str | None
    cpu_hours: float
    tasks: Annotated[int, Field(description="attempts that ended")]
    euros: Annotated[float, Field(description="cost of their machine time")]


class ReportView(BaseModel):
    organisation: str | None
    cpu_hours: float
    tasks: Annotated[int, Field(description="attempts that ended")]
    euros: Annotated[float, Field(description="cost of their machine time")]
    ended: Annotated[dict[str, int], Field(description="tasks by their last state")]
    wait_p50_s: Annotated[float, Field(description="until the first start, within 1 %")]
    wait_p99_s: float


class OverviewView(BaseModel):
    task_id: str
    name: str
    status: State
    user: str
    user_name: str
    organisation: str | None
    priority: int
    created_at: datetime
    started_at: datetime | None
    completed_at: datetime | None
