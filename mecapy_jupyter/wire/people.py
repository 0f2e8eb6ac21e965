"""Who I am at a gateway, what I may, and my API tokens."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from mecapy_jupyter.wire import json_fields as fields
from mecapy_jupyter.wire.json_fields import JsonObject, time_as_json


@dataclass(frozen=True, slots=True)
class Quota:
    """How much of a quota is used. `limit` None: there is none."""

    used: float = 0.0
    limit: float | None = None
    left: float | None = None

    def as_json(self) -> JsonObject:
        return {"used": self.used, "limit": self.limit, "left": self.left}

    @classmethod
    def from_json(cls, data: JsonObject) -> Quota:
        used = fields.number(data, "used") or 0.0
        return cls(used, fields.number(data, "limit"), fields.number(data, "left"))


@dataclass(frozen=True, slots=True)
class Me:
    """The answer of `GET /me`. `queued` and `running` count my tasks; quotas are by name: queued,
    running, cpu_hours (this month), bytes. `limits`: the gateway's own, by their settings' names.
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
    organisation_quotas: dict[str, Quota] | None = None

    def as_json(self) -> JsonObject:
        quotas = self.organisation_quotas
        return {
            "owner": self.owner,
            "name": self.name,
            "email": self.email,
            "role": self.role,
            "organisation": self.organisation,
            "scopes": list(self.scopes),
            "tasks": {"queued": self.queued, "running": self.running},
            "limits": dict(self.limits),
            "weight": self.weight,
            "quotas": _quotas_as_json(self.quotas),
            **({"organisation_quotas": _quotas_as_json(quotas)} if quotas is not None else {}),
        }

    @classmethod
    def from_json(cls, data: JsonObject) -> Me:
        tasks, limits = fields.mapping(data, "tasks"), fields.mapping(data, "limits")
        weight = fields.number(data, "weight")
        return cls(
            owner=fields.text(data, "owner"),
            name=fields.text(data, "name"),
            email=fields.text(data, "email"),
            role=fields.text(data, "role", "user"),
            organisation=fields.optional_text(data, "organisation"),
            scopes=fields.texts(data, "scopes"),
            queued=fields.integer(tasks, "queued"),
            running=fields.integer(tasks, "running"),
            limits={
                name: limit for name in limits if (limit := fields.number(limits, name)) is not None
            },
            weight=1.0 if weight is None else weight,
            quotas=_quotas(data, "quotas"),
            organisation_quotas=_quotas(data, "organisation_quotas") or None,
        )


def _quotas(data: JsonObject, key: str) -> dict[str, Quota]:
    quotas = fields.mapping(data, key)
    return {name: Quota.from_json(fields.mapping(quotas, name)) for name in quotas}


def _quotas_as_json(quotas: dict[str, Quota]) -> JsonObject:
    return {name: quota.as_json() for name, quota in quotas.items()}


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """The body of `POST /tokens`. `days` None: it never expires."""

    name: str
    scopes: tuple[str, ...]
    days: float | None = 90.0

    def as_json(self) -> JsonObject:
        return {"name": self.name, "scopes": list(self.scopes), "days": self.days}


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """A personal API token; `token` itself only in the answer that makes it."""

    id: str
    name: str = ""
    scopes: tuple[str, ...] = ()
    created_at: datetime | None = None
    expires_at: datetime | None = None
    used_at: datetime | None = None
    token: str = field(default="", repr=False)

    def as_json(self) -> JsonObject:
        shown: JsonObject = {
            "id": self.id,
            "name": self.name,
            "scopes": list(self.scopes),
            "created_at": time_as_json(self.created_at),
            "expires_at": time_as_json(self.expires_at),
            "used_at": time_as_json(self.used_at),
        }
        return shown | ({"token": self.token} if self.token else {})

    @classmethod
    def from_json(cls, data: JsonObject) -> TokenInfo:
        return cls(
            fields.text(data, "id"),
            fields.text(data, "name"),
            fields.texts(data, "scopes"),
            fields.time(data, "created_at"),
            fields.time(data, "expires_at"),
            fields.time(data, "used_at"),
            fields.text(data, "token"),
        )


@dataclass(frozen=True, slots=True)
class LoginOffer:
    """The answer of `GET /auth`: the issuer whose tokens are accepted, and as which client to ask
    it. All empty where the operator hands out a token instead.
    """

    issuer: str = ""
    client_id: str = ""
    scope: str = ""

    def as_json(self) -> JsonObject:
        return {
            "issuer": self.issuer or None,
            "client_id": self.client_id or None,
            "scope": self.scope or None,
        }

    @classmethod
    def from_json(cls, data: JsonObject) -> LoginOffer:
        return cls(*(fields.text(data, name) for name in ("issuer", "client_id", "scope")))
