"""Who I am at a gateway, what I may, and my API tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from mecapy_jupyter.wire.json_fields import JsonObject, mapping
from mecapy_jupyter.wire.shape import OPTIONAL, Shape, read, write


@dataclass(frozen=True, slots=True)
class Quota(Shape):
    """How much of a quota is used. `limit` None: there is none."""

    used: float = 0.0
    limit: float | None = None
    left: float | None = None


@dataclass(frozen=True, slots=True)
class Me(Shape):
    """The answer of `GET /me`. `queued` and `running` count my tasks; quotas are by name: queued,
    running, cpu_hours (this month), bytes. `limits`: the gateway's own, by their settings' names.
    `webhook_key`: what signs the webhooks of my tasks.
    """

    owner: str
    name: str = ""
    email: str = ""
    role: str = "user"
    organisation: str | None = None
    scopes: tuple[str, ...] = ()
    queued: int = 0
    running: int = 0
    limits: dict[str, float] = field(default_factory=dict[str, float])
    weight: float = 1.0
    quotas: dict[str, Quota] = field(default_factory=dict[str, Quota])
    organisation_quotas: dict[str, Quota] | None = field(default=None, metadata=OPTIONAL)
    webhook_key: str = field(default="", metadata=OPTIONAL)

    def as_json(self) -> JsonObject:
        shown = write(self)
        counts: JsonObject = {"queued": shown.pop("queued"), "running": shown.pop("running")}
        return {**shown, "tasks": counts}

    @classmethod
    def from_json(cls, data: JsonObject) -> Me:
        return read(cls, data | mapping(data, "tasks"))


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
    it. All empty where the operator hands out a token instead.
    """

    issuer: str = ""
    client_id: str = ""
    scope: str = ""

    def as_json(self) -> JsonObject:
        return {name: value or None for name, value in write(self).items()}
