"""The day's budgets, of the fleet and of organisations: whose is spent, and a line in log and audit
once a day when one is nearly spent and when it is.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.store import audit
from mecapy_backend.store.people import costs
from mecapy_jupyter.shared.units import price

log = structlog.get_logger()
FLEET = "fleet"
_SHARES = (0.8, 1.0)


@dataclass(frozen=True, slots=True)
class SpentBudgets:
    """No machine is started: for anybody, or for tasks of these organisations."""

    all: bool
    organisations: Collection[str]


async def check(db: AsyncEngine, budget: float) -> SpentBudgets:
    """`budget`: euros a day for all machines; 0: any."""
    spent = await costs.spent_today(db) if budget else 0.0
    if budget:
        await _tell(db, FLEET, spent, budget)
    days = await costs.day_budgets(db)
    for name, day in days.items():
        await _tell(db, name, day.spent, day.limit)
    over = {name for name, day in days.items() if day.is_spent}
    return SpentBudgets(bool(budget) and spent >= budget, over)


async def _tell(db: AsyncEngine, whose: str, spent: float, budget: float) -> None:
    for share in _SHARES:
        if spent < share * budget:
            continue
        what = f"{whose}: {share:.0%} of the day's budget"
        if await audit.once_a_day(db, FLEET, "spend", what):
            log.warning("spend alarm", whose=whose, spent=price(spent), budget=price(budget))
