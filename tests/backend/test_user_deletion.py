"""Deleting a user, with the process killed before any of its statements."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from blake3 import blake3

from mecapy_backend.queue import queue as queues
from mecapy_backend.store import database, tables, tasks
from mecapy_backend.store.blobs import blob_rows
from mecapy_backend.store.blobs.blob_store import open_store
from mecapy_backend.store.blobs.blob_types import BlobStore
from mecapy_backend.store.log import events
from mecapy_backend.store.people import api_tokens, deletion, users
from mecapy_jupyter import wire

SECRET = "what-eve-computes"
BLOB = SECRET.encode() * 100
DIGEST = blake3(BLOB).hexdigest()
KILLED_BEFORE = range(1, 9)
"""Its statements: the mark, the stop, which tasks, their emptying, which are left, which blobs, the
lock of one, its bytes. A killed one that was not reached would end by itself, and fail the test.
"""


async def _once(data: bytes) -> Any:
    yield data


async def populate(db: Any, redis: Any, store: BlobStore, name: str = "eve") -> str:
    """A user with a token, and a task that waits, one that runs and one that is done."""
    identity = users.Identity("https://issuer", name, name, f"{name}@acme", "acme", "user", 9e9)
    user = (await users.upsert_identity(db, identity)).id
    await api_tokens.create(db, user, SECRET, ["read"], None, 10)
    await store.write(user, DIGEST, _once(BLOB), blob_rows.row_lock(db, user))
    request = wire.TaskRequest(
        f"'{SECRET}'", name=SECRET, payload=wire.Payload(pickle_blob=DIGEST)
    ).as_json()
    done, runs, _ = [(await tasks.submit(db, user, request)).task_id for _ in range(3)]
    for task_id in (done, runs):
        await tasks.start(db, task_id, "w1", 60)
        await events.append(redis, task_id, [(wire.STDOUT, {"text": SECRET})])
    outcome = wire.Outcome(wire.COMPLETED, result=SECRET, seconds=1)
    await tasks.finish(db, done, 1, outcome, [wire.Event("1-0", wire.STDOUT, {"text": SECRET})])
    return user


async def everything(db: Any) -> str:
    async with db.connect() as connection:
        rows = [
            row
            for table in tables.metadata.sorted_tables
            for row in (await connection.execute(sa.select(table))).all()
        ]
    return "\n".join(map(str, rows))


async def test_killed_in_the_middle(
    db: Any, database_url: str, redis_url: str, tmp_path: Path
) -> None:
    """Whichever statement a gateway dies before, nobody can be the user any more once it was
    marked, the next sweep deletes what is left, and what was counted stays counted.
    """
    blob_url = f"file://{tmp_path}/blobs"
    store, redis = open_store(blob_url), queues.connect(redis_url)

    async def delete_and_die(statement: int) -> str:
        user = await populate(db, redis, store, f"eve{statement}")
        dying = await asyncio.create_subprocess_exec(
            sys.executable, "-m", __name__, database_url, redis_url, blob_url, user, str(statement),
            stderr=subprocess.PIPE,
        )  # fmt: skip
        _, stderr = await dying.communicate()
        assert dying.returncode == -signal.SIGKILL, stderr.decode()
        return user

    untouched, *marked = await asyncio.gather(*map(delete_and_die, KILLED_BEFORE))
    assert await users.get(db, untouched) and await deletion.begin(db, untouched)
    for user in marked:
        assert await users.get(db, user) is None and not await api_tokens.list_valid(db, user)
    assert await deletion.resume(db, redis, store) == []  # a gateway may still let something in
    found = await everything(db)
    assert not [word for word in (SECRET, DIGEST, "eve") if word in found]
    assert not await redis.keys("mecapy:events:*") and await redis.depth() == 0
    assert not list((tmp_path / "blobs").rglob(DIGEST))
    async with db.connect() as connection:
        states = (await connection.execute(sa.select(tables.tasks.c.state))).scalars().all()
    assert Counter(states) == {"cancelled": 2 * len(KILLED_BEFORE), "completed": len(KILLED_BEFORE)}
    await redis.aclose(close_connection_pool=True)


async def test_what_comes_late_is_deleted_too(
    db: Any, redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A gateway that has not heard of the deletion takes one more task: the sweep that ends the
    deletion deletes it, and only then is the user deleted.
    """
    store, redis = open_store(f"file://{tmp_path}/blobs"), queues.connect(redis_url)
    user = await populate(db, redis, store)
    assert await deletion.begin(db, user)
    await deletion.delete_data(db, redis, store, user)
    await tasks.submit(db, user, wire.TaskRequest(f"'{SECRET}'").as_json())
    assert SECRET in await everything(db)
    monkeypatch.setattr(deletion, "SETTLED_S", 0.0)
    assert await deletion.resume(db, redis, store) == [user]
    assert SECRET not in await everything(db)
    assert not await deletion.begin(db, user) and await deletion.resume(db, redis, store) == []
    await redis.aclose(close_connection_pool=True)


async def _delete_and_die(
    database_url: str, redis_url: str, blob_url: str, user: str, statement: str
) -> None:
    db, redis, left = (
        database.connect(database_url, connect_s=60),
        queues.connect(redis_url),
        int(statement),
    )

    @sa.event.listens_for(db.sync_engine, "before_cursor_execute")
    def die(*_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    store = open_store(blob_url)
    really_delete = store.delete

    async def delete(owner: str, digest: str) -> None:
        die()
        await really_delete(owner, digest)

    store.delete = delete
    await deletion.begin(db, user)
    await deletion.delete_data(db, redis, store, user)


if __name__ == "__main__":
    asyncio.run(_delete_and_die(*sys.argv[1:]))
