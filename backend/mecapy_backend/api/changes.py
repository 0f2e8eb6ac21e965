"""What happens to the tasks of all users with an open page, read for all of them together: one
statement to PostgreSQL and one to Redis every two seconds, however many pages a gateway shows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.api.json_reply import or_none
from mecapy_backend.queue.queue import Queue
from mecapy_backend.store.database import AWAY
from mecapy_backend.store.log import events
from mecapy_backend.store.log.events import EncodedEvent
from mecapy_backend.store.tasks.changes import TasksNow, tasks_now

LOOK_S = 2.0
MOST_EVENTS = 100
"""The newest events that one look returns of one task."""


@dataclass(frozen=True, slots=True)
class OwnerChanges:
    """`now`: None while PostgreSQL is unavailable. `said`: for each requested task its events after
    the last one that the caller had, the oldest first.
    """

    now: TasksNow | None
    said: Mapping[str, list[EncodedEvent]]


@dataclass(frozen=True, slots=True)
class _Question:
    owner: str
    after: Mapping[str, str]
    answer: asyncio.Future[OwnerChanges]


class ChangeWatch:
    """`watch` runs the queries; without open pages it makes none."""

    def __init__(self, db: AsyncEngine, redis: Queue) -> None:
        self._db, self._redis = db, redis
        self._asked = list[_Question]()

    async def next(self, owner: str, after: Mapping[str, str]) -> OwnerChanges:
        """The next look at this owner. `after`: task → id of the last event that was had."""
        answer = asyncio.get_running_loop().create_future()
        self._asked.append(_Question(owner, after, answer))
        return await answer

    async def watch(self) -> None:
        """Until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            asked, self._asked = self._asked, []
            asked = [one for one in asked if not one.answer.done()]
            try:
                await self._look(asked)
            except Exception as error:  # of these pages, which ask again; not of later ones
                for one in asked:
                    if not one.answer.done():
                        one.answer.set_exception(error)

    async def _look(self, asked: list[_Question]) -> None:
        if not asked:
            return
        try:
            now = await tasks_now(self._db, {one.owner for one in asked})
        except AWAY:
            now = dict[str, TasksNow]()
        wanted = sorted({pair for one in asked for pair in one.after.items()})
        found = await or_none(events.newest(self._redis, wanted, MOST_EVENTS)) if wanted else []
        said = dict(zip(wanted, found or [[] for _ in wanted], strict=True))
        for one in asked:
            if not one.answer.done():
                its = {task: said[task, after] for task, after in one.after.items()}
                one.answer.set_result(OwnerChanges(now.get(one.owner), its))
