"""The queue: task ids in lanes (by length and Python), whose turn `fair.lua` decides, and the
cancel channel. Filled by `routes.tasks` and the worker's reconciler; workers wait in it with
BZPOPMIN.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from arq.connections import ArqRedis
from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError

from mecapy_backend.queue import keys
from mecapy_jupyter.wire import POOL, PRIORITY, JsonObject

SOCKET_TIMEOUT_S = 8.0
"""After this time without an answer, the connection is dead. Blocking commands must wait for less.
"""

# more than any time in milliseconds, so that priority always comes first; the sum stays below 2^53
_PRIORITY_STEP = 1e13
_SCRIPT = (Path(__file__).parent / "fair.lua").read_text()
_SHA = hashlib.sha1(_SCRIPT.encode(), usedforsecurity=False).hexdigest()  # Redis's own name for it
_MANY = 1000  # arguments of one call


@dataclass(frozen=True, slots=True)
class Share:
    """A user's share of the pool. `group`: the organisation, "" for none; `cap`: tasks that may run
    at once, 0: any number.
    """

    group: str = ""
    weight: float = 1.0
    cap: int = 0
    group_weight: float = 1.0
    group_cap: int = 0

    def text(self, user: str) -> str:
        """The share in `fair.lua`'s form. A user without an organisation counts as one, with the
        same weight.
        """
        alone = {"group": f"~{user}", "group_weight": self.weight}
        return json.dumps(asdict(self) | ({} if self.group else alone))


def score(priority: int, at_s: float | None = None) -> float:
    """Order among a user's tasks: higher priority first, then first come, first served."""
    return (9 - priority) * _PRIORITY_STEP + (time.time() if at_s is None else at_s) * 1000


@dataclass(frozen=True, slots=True)
class PoppedTask:
    """One id from a front, and the meaning of its score: see `promote` in `fair.lua`."""

    lane: str
    task_id: str
    waited_s: float  # in the queue, by two hosts' clocks
    capped: bool
    more: bool

    @classmethod
    def of(cls, popped: tuple[bytes, bytes, float]) -> PoppedTask:
        number = int(popped[2])
        waited_s = max(0.0, time.time() - number // 4 / 1000)
        return cls(
            popped[0].decode(),
            popped[1].decode(errors="replace"),
            waited_s,
            bool(number & 2),
            bool(number & 1),
        )


class Queue(ArqRedis):
    """arq's connection with a fair queue of ids in lanes. Uses none of arq's job keys, pickles and
    results.
    """

    async def enqueue(
        self,
        task_id: str,
        owner: str,
        priority: int = PRIORITY,
        *,
        short: bool = False,
        python: str = "",
        machine_class: str = POOL,
        share: Share | None = None,
    ) -> int | None:
        """Put a task in line, or leave it where it is. Returns its position (1: next), None if a
        worker has it. `python` "": any. `share` None: the last one given.
        """
        share_text = share.text(owner) if share else ""
        lane = keys.lane(python, short=short, machine_class=machine_class)
        arguments = ["add", owner, share_text, task_id, repr(score(priority))]
        position, first = await self._fair(lane, *arguments, then=("ZSCORE", lane, task_id))
        return None if position == 1 and first is None else position

    async def put_back(
        self,
        owner: str,
        entries: Mapping[str, float],
        *,
        short: bool = False,
        python: str = "",
        machine_class: str = POOL,
        share: Share | None = None,
    ) -> None:
        """Put many tasks of an owner in line (task id → score); those in the queue stay where they
        are.
        """
        share_text = share.text(owner) if share else ""
        flat = [part for task_id, at in entries.items() for part in (task_id, repr(at))]
        lane = keys.lane(python, short=short, machine_class=machine_class)
        for start in range(0, len(flat), 2 * _MANY):
            batch = flat[start : start + 2 * _MANY]
            await self._fair(lane, "add", owner, share_text, *batch)

    async def refill(self, lane: str) -> None:
        """The front of a lane was taken: fill it again."""
        await self._fair(lane, "next")

    async def refill_all(self) -> None:
        """The front of some lane was taken without a notice: fill it again."""
        await self._fair(keys.QUEUE, "fill")

    async def release(self, *task_ids: str) -> None:
        """These have ended, and no longer count against limits."""
        await self._fair(keys.QUEUE, "release", *task_ids)

    async def count_running(self, owner: str, share: Share, task_ids: Sequence[str]) -> None:
        """These run, and count."""
        await self._fair(keys.QUEUE, "hold", owner, share.text(owner), *task_ids)

    async def update_shares(self, shares: Mapping[str, Share]) -> None:
        """Current shares of owners, for tasks that already wait."""
        flat = [part for owner, share in shares.items() for part in (owner, share.text(owner))]
        for start in range(0, len(flat), 2 * _MANY):
            await self._fair(keys.QUEUE, "shares", *flat[start : start + 2 * _MANY])

    async def counted_running(self) -> set[str]:
        """All that count."""
        found: list[bytes] = await cast(Any, self).hkeys(f"{keys.QUEUE}:held")
        return {task_id.decode() for task_id in found}

    async def lanes(self) -> list[str]:
        """Those in which anybody waits."""
        found: set[bytes] = await cast(Any, self).smembers(f"{keys.QUEUE}:lanes")
        return sorted(lane.decode() for lane in found)

    async def fronts(self) -> set[str]:
        """The tasks that may be taken next."""
        found: list[list[bytes]] = [
            await cast(Any, self).zrange(lane, 0, -1) for lane in await self.lanes()
        ]
        return {task_id.decode() for front in found for task_id in front}

    async def withdraw(self, task_id: str) -> bool:
        """Take a task out. False: it was not waiting."""
        return bool((await self._fair(keys.QUEUE, "remove", task_id))[0])

    async def position(self, task_id: str, *, short: bool = False, python: str = "") -> int | None:
        """1 for the task that starts next; None for one that does not wait here."""
        return (await self.position_and_depth(task_id, short=short, python=python))[0]

    async def position_and_depth(
        self, task_id: str, *, short: bool = False, python: str = "", machine_class: str = POOL
    ) -> tuple[int | None, int]:
        """Its position, and how many wait, in its lane."""
        lane = keys.lane(python, short=short, machine_class=machine_class)
        ((position, count),) = await self._fair(lane, "place", task_id)
        return position, int(count)

    async def depth(self) -> int:
        """How many tasks wait."""
        lanes = await self.lanes()
        async with self.pipeline(transaction=False) as pipe:
            for lane in lanes:
                pipe.zcard(lane)
                pipe.hlen(f"{lane}:waiting")
            return sum(await pipe.execute())

    async def not_waiting(self, task_ids: Sequence[str]) -> set[str]:
        """Those of these that do not wait here."""
        if not task_ids:
            return set()
        lanes = await self.lanes()
        pipe: Any
        async with self.pipeline(transaction=False) as pipe:
            for lane in lanes:
                pipe.zmscore(lane, list(task_ids))
                pipe.hmget(f"{lane}:waiting", list(task_ids))
            found = await pipe.execute()
        return {
            task_id
            for task_id, *seen in zip(task_ids, *found, strict=True)
            if seen == [None] * len(seen)
        }

    async def _fair(self, lane: str, *arguments: Any, then: Sequence[Any] = ()) -> list[Any]:
        """Call the script, with a second command in the same round trip."""
        for first in (True, False):
            pipe: Any
            async with self.pipeline(transaction=False) as pipe:
                pipe.execute_command(
                    "EVALSHA" if first else "EVAL",
                    _SHA if first else _SCRIPT,
                    2,
                    keys.QUEUE,
                    lane,
                    *arguments,
                )
                if then:
                    pipe.execute_command(*then)
                try:
                    return await pipe.execute()
                except NoScriptError:  # Redis is new or was emptied
                    continue
        raise AssertionError

    async def announce_cancel(self, task_id: str) -> None:
        """Ask all workers to stop this task. May get lost; the lease renewal repeats it."""
        await self.publish(keys.CONTROL, json.dumps({"cancel": task_id}))  # pyright: ignore[reportUnknownMemberType]

    async def announce_extra(self, task_id: str, extra_s: float) -> None:
        """Tell all workers that this task may run longer. The lease renewal repeats it."""
        message = json.dumps({"extend": task_id, "extra_s": extra_s})
        await self.publish(keys.CONTROL, message)  # pyright: ignore[reportUnknownMemberType]

    async def send_comms(self, worker: str, task_id: str, messages: Sequence[JsonObject]) -> bool:
        """Send messages of a page to the worker that runs this task. False: it does not listen."""
        message = json.dumps({"comms": task_id, "messages": messages})
        return bool(await self.publish(keys.control(worker), message))  # pyright: ignore[reportUnknownMemberType]


def connect(url: str, *, max_connections: int = 64) -> Queue:
    """A pool of connections; nothing is opened before it is used. Close with `await
    queue.aclose(close_connection_pool=True)`.
    """
    pool: Any = BlockingConnectionPool.from_url(  # pyright: ignore[reportUnknownMemberType]
        url,
        max_connections=max_connections,
        timeout=2.0,  # waiting for a free connection
        socket_timeout=SOCKET_TIMEOUT_S,
        socket_connect_timeout=1.5,
        health_check_interval=5,
        # One retry on a connection that Redis has closed (a restart), because all our commands may
        # be repeated.
        retry=Retry(NoBackoff(), 1),
        retry_on_error=[RedisConnectionError],
        **({} if url.startswith("unix:") else {"socket_keepalive": True}),
    )
    return Queue(pool_or_conn=pool, default_queue_name=keys.QUEUE)
