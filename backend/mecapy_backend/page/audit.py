"""The audit and the health of the parts, for admins."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.responses import Response

from mecapy_backend.api.audit import ACTS
from mecapy_backend.page.door import Visit
from mecapy_backend.store import audit

SHOWN = 100


async def listed(visit: Visit) -> Response:
    wanted = {name: visit.query(name) for name in ("who", "act", "what")}
    before = visit.query("before")
    found = await audit.page(
        visit.services.db,
        who=wanted["who"] or None,
        act=wanted["act"] or None,
        what=wanted["what"] or None,
        before=min(int(before), 2**62) if before.isdecimal() else None,
        limit=SHOWN,
    )
    return visit.page(
        "audit.html",
        lines=found,
        wanted=wanted,
        acts=sorted(set(ACTS.values())),
        following=urlencode(wanted | {"before": found[-1].id}) if len(found) == SHOWN else "",
    )


async def health(visit: Visit) -> Response:
    report = await visit.services.health.report()
    return visit.page("health.html", report=report)
