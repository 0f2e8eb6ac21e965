"""Users, organisations, their tokens, limits and quotas, and the audit."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from mecapy_backend.api.schemas.common import Request
from mecapy_backend.api.schemas.tasks import ResourcesBody

PRINTABLE = r"^[^\x00-\x1f\x7f]*$"


class NewTokenBody(Request):
    name: Annotated[str, Field(min_length=1, max_length=100, description="what it is for")]
    scopes: Annotated[
        list[Literal["tasks", "read", "admin"]], Field(min_length=1, description="its rights")
    ] = ["tasks", "read"]
    days: Annotated[
        float | None, Field(gt=0, le=3660, description="days until it expires; null: never")
    ] = 90.0


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
