"""What things cost: my tasks by month, my organisation's month and day; for who looks after others,
organisations and users of a month; for admins, the machines by day.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime

from starlette.responses import Response

from mecapy_backend.page.door import Visit
from mecapy_backend.store.people import costs, usage
from mecapy_backend.store.people.costs import DayBudget
from mecapy_jupyter.wire import MonthlyUse

_MONTH = re.compile(r"2\d{3}-(0[1-9]|1[0-2])")


@dataclass(frozen=True, slots=True)
class OrganisationMonth:
    """`day`: None for another month than this one, or without a budget."""

    name: str
    cpu_hours: float
    tasks: int
    euros: float
    day: DayBudget | None


async def shown(visit: Visit) -> Response:
    db, own = visit.services.db, visit.caller.organisation
    days = await costs.day_budgets(db)
    this_month = datetime.now(UTC).date().replace(day=1)
    month = chosen(visit.query("month"), this_month)
    values: dict[str, object] = {
        "months": await usage.of_owner(db, visit.owner),
        "own": None,
        "month": month,
        "organisations": None,
        "users": (),
        "machines": None,
        "fleet": None,
    }
    if own:
        used = await usage.monthly(db, own, this_month)
        values["own"] = _organisation(own, used, days)
    if "/page/organisations" in visit.links:
        users = await usage.monthly(db, visit.caller.sees, month)
        now = days if month == this_month else {}
        names = sorted({one.organisation or "" for one in users} | (now.keys() & {own or ""}))
        values["organisations"] = [_organisation(name, users, now) for name in names]
        values["users"] = users[:200]
    if visit.caller.role == "admin":
        found = await costs.machines_by_day(db)
        budget = visit.services.placements.file.budget
        today = sum(one.euros for one in found if one.day == datetime.now(UTC).date())
        values["machines"] = found
        values["fleet"] = DayBudget(today, budget) if budget else None
    return visit.page("costs.html", **values)


def chosen(text: str, this_month: date) -> date:
    return date.fromisoformat(f"{text}-01") if _MONTH.fullmatch(text) else this_month


def _organisation(
    name: str, users: Sequence[MonthlyUse], days: dict[str, DayBudget]
) -> OrganisationMonth:
    its = [one for one in users if (one.organisation or "") == name]
    return OrganisationMonth(
        name,
        sum(one.cpu_hours for one in its),
        sum(one.tasks for one in its),
        sum(one.euros for one in its),
        days.get(name),
    )
