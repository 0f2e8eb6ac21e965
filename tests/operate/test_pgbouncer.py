"""PostgreSQL behind a real PgBouncer in transaction mode."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from mecapy_backend.shared.settings import Settings
from mecapy_backend.store import database
from mecapy_jupyter.client.client import Client
from mecapy_jupyter.shared.processes import mecapy_command

from ..conftest import TOKEN, served
from ..stack.test_doctor import process, said_by_environment


def test_tasks_run(pgbouncer: str, settings: Settings, tmp_path: Path) -> None:
    """With MECAPY_DATABASE_POOLER=transaction gateway and worker run tasks of eight submitters at
    once, though PostgreSQL gives all of them two connections.
    """
    through = settings.model_copy(
        update={"database_url": pgbouncer, "database_pooler": "transaction"}
    )
    env = said_by_environment(through, MECAPY_DATABASE_POOLER="transaction")
    log = tmp_path / "worker.log"
    with (
        served(through) as gateway,
        process(*mecapy_command("worker"), env=env, log=log),
        Client(gateway.url, TOKEN) as client,
        ThreadPoolExecutor(8) as threads,
    ):
        tasks = list(threads.map(lambda n: client.run(f"{n} * 2"), range(24)))
        assert [task.result(timeout=240) for task in tasks] == [2 * n for n in range(24)]
    said = log.read_text()
    assert "prepared statement" not in said and '"level":"error"' not in said


async def test_without_the_switch(pgbouncer: str) -> None:
    """Statements fail, and the cause names the switch; with it none does, and each is answered with
    its own rows.
    """
    assert "MECAPY_DATABASE_POOLER=transaction" in " ".join(
        database.cause(failed) for failed in await failures(pgbouncer, "none")
    )
    assert await failures(pgbouncer, "transaction") == []


async def failures(url: str, pooler: database.Pooler) -> list[DBAPIError]:
    """The errors of 300 statements over six connections at once, four kinds in turn."""
    options: Any = {"pooler": pooler, "connections": 2, "wait_s": 120, "connect_s": 60}
    engines = [database.connect(url, **options) for _ in range(3)]

    async def ask(number: int) -> DBAPIError | None:
        question = sa.text(f"SELECT {number % 4} + CAST(:n AS int)")
        try:
            async with engines[number % 3].connect() as connection:
                answer = (await connection.execute(question, {"n": number})).scalar_one()
                assert answer == number % 4 + number
        except DBAPIError as failed:
            return failed
        return None

    found = await asyncio.gather(*(ask(number) for number in range(300)))
    for engine in engines:
        await engine.dispose()
    return [failed for failed in found if failed]


async def test_transactions(pgbouncer: str) -> None:
    """A transaction of several statements is whole: what it wrote goes when it fails."""
    db = database.connect(pgbouncer, pooler="transaction", connect_s=60)
    insert = sa.text("INSERT INTO organisations (id, name) VALUES (:id, 'x')")
    with pytest.raises(DBAPIError, match="unique"):
        async with db.execution_options(isolation_level="READ COMMITTED").begin() as connection:
            await connection.execute(insert, {"id": "one"})
            await connection.execute(insert, {"id": "one"})
    async with db.connect() as connection:
        await connection.execute(insert, {"id": "two"})
    found = await database.first(db, sa.text("SELECT array_agg(id) FROM organisations"))
    assert found is not None and found[0] == ["two"]
    await db.dispose()
