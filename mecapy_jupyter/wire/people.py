"""Who I am at a gateway, what I may, and my API tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from mecapy_jupyter.wire.shape import OPTIONAL, Shape
from mecapy_jupyter.wire.states import QUEUED, RUNNING


@dataclass(frozen=True, slots=True)
class Quota(Shape):
    """How much of a quota is used. `limit` None: there is none."""

    used: float = 0.0
    limit: float | None = None
    left: float | None = None


@dataclass(frozen=True, slots=True)
class Me(Shape):
    """The answer of `GET /me`. `tasks` counts my queued and running ones; quotas are by name:
    queued, running, bytes; of this month cpu_hours, euros. `limits`: the gateway's, by their
    settings' names. `weight`: tasks of mine that start for each task of a user of weight 1, while
    all wait. `webhook_key`: what signs the webhooks of my tasks; empty: this gateway sends none.
    """

    owner: str
    name: str = ""
    email: str = ""
    role: str = "user"
    organisation: str | None = None
    scopes: tuple[str, ...] = ()
    tasks: dict[str, int] = field(default_factory=dict[str, int])
    limits: dict[str, float] = field(default_factory=dict[str, float])
    weight: float = 1.0
    quotas: dict[str, Quota] = field(default_factory=dict[str, Quota])
    organisation_quotas: dict[str, Quota] | None = field(default=None, metadata=OPTIONAL)
    webhook_key: str = field(default="", metadata=OPTIONAL)

    @property
    def queued(self) -> int:
        return self.tasks.get(QUEUED, 0)

    @property
    def running(self) -> int:
        return self.tasks.get(RUNNING, 0)


@dataclass(frozen=True, slots=True)
class TokenRequest(Shape):
    """The body of `POST /tokens`. `days` None: it never expires."""

    name: str
    scopes: tuple[str, ...]
    days: float | None = 90.0


@dataclass(frozen=True, slots=True)
class TokenInfo(Shape):
    """A personal API token; `token` itself only in the answer that makes it."""

    id: str
    name: str = ""
    scopes: tuple[str, ...] = ()
    created_at: datetime | None = None
    expires_at: datetime | None = None
    used_at: datetime | None = None
    token: str = field(default="", repr=False, metadata=OPTIONAL)


@dataclass(frozen=True, slots=True)
class LoginLink(Shape):
    """The answer of `POST /login-links`. `path`: of the gateway's page; logs in one browser once,
    within `valid_s`.
    """

    path: str
    valid_s: float = 0.0


@dataclass(frozen=True, slots=True)
class LoginOffer(Shape):
    """The answer of `GET /auth`: the issuer whose tokens are accepted, and as which client to ask
    it. All None where the operator hands out a token instead.
    """

    issuer: str | None = None
    client_id: str | None = None
    scope: str | None = None
