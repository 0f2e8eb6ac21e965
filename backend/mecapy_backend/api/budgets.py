"""Why no machine comes for a waiting task: a day's budget is spent, the fleet's or its
organisation's; the fleet is stopped; or the provider refuses. Read every few seconds for all.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection

from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.fleet.classes import MachinesFile, named
from mecapy_backend.store import machines
from mecapy_backend.store.people import costs, users

_CACHED_S = 5.0
SPENT = "the day's budget is spent: the task waits for a free machine, or for the next day (UTC)"
STOPPED = "the fleet is stopped: the task waits for a free machine, or for `mecapy fleet resume`"
OF_ALL = ""


class Budgets:
    """One gateway's knowledge."""

    def __init__(self, db: AsyncEngine, file: MachinesFile) -> None:
        self._db, self._file = db, file
        self._looked_s, self._spent = -math.inf, frozenset[str]()
        self._stopped, self._refused = False, dict[str, str]()

    async def why(self, owner: str, machine_class: str, why_there: str) -> str:
        """`why_there`, with what holds a waiting task back. No class whose workers somebody else
        starts is held back.
        """
        kind = named(self._file.classes, machine_class)
        if kind is None or not kind.provider:
            return why_there
        return "; ".join(filter(None, [why_there, await self._held(owner, machine_class)]))

    async def _held(self, owner: str, machine_class: str) -> str:
        spent = await self.spent()
        if self._stopped:
            return STOPPED
        user = await users.get(self._db, owner) if spent and OF_ALL not in spent else None
        if OF_ALL in spent or (user is not None and user.organisation in spent):
            return SPENT
        refused = self._refused.get(machine_class, "")
        return f"no machine yet: {refused}" if refused else ""

    async def spent(self) -> Collection[str]:
        """Organisations whose budget is spent; OF_ALL among them for the budget of all."""
        if time.monotonic() - self._looked_s > _CACHED_S:
            days = await costs.day_budgets(self._db)
            spent = {name for name, day in days.items() if day.is_spent}
            budget = self._file.budget
            if budget and await costs.spent_today(self._db) >= budget:
                spent.add(OF_ALL)
            self._stopped = (await machines.fleet_row(self._db)).stopped
            self._refused = await machines.refusals(self._db)
            self._spent, self._looked_s = frozenset(spent), time.monotonic()
        return self._spent
