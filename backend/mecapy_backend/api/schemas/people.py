"""Users, organisations, their tokens, limits and quotas, and the audit."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mecapy_backend.api.schemas.common import Request
from mecapy_backend.api.schemas.tasks import ResourcesBody

PRINTABLE = r"^[^\x00-\x1f\x7f]*$"


class NewTokenBody(Request):
    name: str = Field(min_length=1, max_length=100)
    """What it is for."""

    scopes: list[Literal["tasks", "read", "admin"]] = Field(default=["tasks", "read"], min_length=1)
    """Its rights."""

    days: float | None = Field(default=90.0, gt=0, le=3660)
    """Days until it expires; null: never."""


class LimitsBody(Request):
    """Limits of a user or organisation; null: the settings' value."""

    weight: float = Field(default=1.0, gt=0, le=1000)
    """Share of the pool, relative to others."""

    max_running: int | None = Field(default=None, ge=1, le=10**6)
    """Tasks that run at once."""

    max_queued: int | None = Field(default=None, ge=0, le=10**6)
    """Tasks that wait at once."""

    cpu_hours: float | None = Field(default=None, ge=0, le=10**9)
    """Per month."""

    quota_bytes: int | None = Field(default=None, ge=0, le=2**53)
    """Stored blobs."""


class OrganisationBody(LimitsBody):
    """The tasks of all its users together."""

    budget: float | None = Field(default=None, ge=0, le=10**9)
    """Euros a day (UTC); then no machine starts for them."""

    resources: ResourcesBody | None = None
    """Default for its tasks; null: none."""


class UserBody(LimitsBody):
    disabled: bool = False


class NewUserBody(Request):
    """A user without an identity provider: a member of a small team, or a service."""

    name: str = Field(min_length=1, max_length=200, pattern=PRINTABLE)
    email: str = Field(default="", max_length=200, pattern=PRINTABLE)
    organisation: str | None = Field(default=None, min_length=1, max_length=200, pattern=PRINTABLE)
    role: Literal["user", "manager", "admin"] = "user"
