"""A long queue that Redis has lost."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import sqlalchemy as sa

from mecapy_backend.queue import keys
from mecapy_worker.upkeep import reconciler

from .conftest import OWNER, Desk

COUNT = 5 * reconciler.BATCH
_FILL = sa.text(
    """INSERT INTO tasks (id, owner, name, priority, request, request_digest, digests, state,
           created_at)
       SELECT gen_random_uuid(), :owner, '', 5, '{}', '\\x00', '{}', 'queued',
              now() - interval '1 hour' + n * interval '1 millisecond'
       FROM generate_series(1, :count) AS n"""
)
_IN_ORDER = sa.text("SELECT id::text FROM tasks ORDER BY created_at")


async def test_all_come_back_in_their_order(desk: Desk) -> None:
    """One look brings back all of a long queue, each task at its old place; one submitted since
    stays behind them.
    """
    async with desk.db.connect() as connection:
        await connection.execute(_FILL, {"owner": OWNER, "count": COUNT})
    newest = await desk.submit("1")
    context: Any = SimpleNamespace(db=desk.db, queue=desk.queue, settings=desk.settings)
    await reconciler.enqueue_missing(context)
    async with desk.db.connect() as connection:
        meant = list((await connection.execute(_IN_ORDER)).scalars())
    assert meant[-1] == newest
    order = list[str]()
    while (popped := await desk.queue.zpopmin(keys.QUEUE)) and not await desk.queue.refill(
        keys.QUEUE
    ):
        order.append(popped[0][0].decode())
    assert order == meant
    await reconciler.enqueue_missing(context)
    assert await desk.queue.depth() == COUNT + 1
