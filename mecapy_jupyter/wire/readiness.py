"""A gateway's report on its parts (`GET /readyz`)."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from mecapy_jupyter.wire.shape import Shape


@dataclass(frozen=True, slots=True)
class Readiness(Shape):
    """`parts`: part → "ok", "unknown" or what is wrong; `advice`: part → what to do about it;
    `now`: the gateway's own clock.
    """

    status: str = ""
    parts: dict[str, str] = field(default_factory=dict[str, str])
    advice: dict[str, str] = field(default_factory=dict[str, str])
    version: str = ""
    now: datetime | None = None
