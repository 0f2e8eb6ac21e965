"""What a gateway says of its own parts (`GET /readyz`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from mecapy_jupyter.wire import json_fields as fields
from mecapy_jupyter.wire.json_fields import JsonObject, time_as_json


@dataclass(frozen=True, slots=True)
class Readiness:
    """`parts`: part → "ok", "unknown" or what is wrong; `advice`: part → what to do about it;
    `now`: the gateway's own clock.
    """

    status: str = ""
    parts: dict[str, str] = field(default_factory=dict[str, str])
    advice: dict[str, str] = field(default_factory=dict[str, str])
    version: str = ""
    now: datetime | None = None

    def as_json(self) -> JsonObject:
        return {
            "status": self.status,
            "parts": dict(self.parts),
            "advice": dict(self.advice),
            "version": self.version,
            "now": time_as_json(self.now),
        }

    @classmethod
    def from_json(cls, data: JsonObject) -> Readiness:
        return cls(
            fields.text(data, "status"),
            fields.text_mapping(data, "parts"),
            fields.text_mapping(data, "advice"),
            fields.text(data, "version"),
            fields.time(data, "now"),
        )
