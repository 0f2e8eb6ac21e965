"""Connections to PostgreSQL: how many there may be, and what a request gets when none is free."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import asyncpg
import httpx
import pytest
import sqlalchemy as sa

from mecapy_backend.shared.settings import Settings
from mecapy_backend.stack.services import Postgres

from ..backend.test_metrics import figures
from ..conftest import TOKEN, execute, served
from ..stack.running import until
from ..stack.test_doctor import Doctor

SUBMIT = {"code": "1"}


@contextmanager
def http(url: str) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {TOKEN}"}
    limits = httpx.Limits(max_connections=100)
    with httpx.Client(base_url=url, headers=headers, limits=limits, timeout=120) as opened:
        yield opened


def submitted(http: httpx.Client, number: int, *, again: bool) -> list[httpx.Response]:
    """At once. `again`: whoever is refused comes again as told, as every client does: a machine
    may be too busy for so many at once.
    """

    def submit(_: int) -> httpx.Response:
        while (answer := http.post("/tasks", json=SUBMIT)).status_code == 503 and again:
            time.sleep(float(answer.headers["Retry-After"]))
        return answer

    with ThreadPoolExecutor(number) as threads:
        return list(threads.map(submit, range(number)))


def test_a_gateway_takes_ten(settings: Settings, own_postgres: Postgres) -> None:
    """Sixty requests at once are all answered over ten connections: two gateways and ten workers,
    which have four each, take sixty.
    """
    with served(settings, hasty=True) as gateway, http(gateway.url) as asking:
        answers = submitted(asking, 60, again=True)
        assert {answer.status_code for answer in answers} == {201}
        until(lambda: asyncio.run(connections(own_postgres.url)) <= 10)  # other tools' may just end


async def connections(url: str) -> int:
    """The connections of others than this one."""
    connection = await asyncpg.connect(url)
    try:
        question = "SELECT count(*) - 1 FROM pg_stat_activity WHERE backend_type = 'client backend'"
        return await connection.fetchval(question)
    finally:
        await connection.close()


@pytest.mark.long
def test_none_is_free(settings: Settings, own_postgres: Postgres) -> None:
    """A request waits for a connection; then the answer is 503 with Retry-After, and a
    figure counts it. Meanwhile the gateway is ready.
    """
    few = settings.model_copy(update={"database_connections": 2})
    with served(few, hasty=True) as gateway, http(gateway.url) as asking:
        before = figures(asking.get("/metrics")).get("mecapy_database_exhausted_total", 0)
        with held(own_postgres.url):
            answers = submitted(asking, 12, again=False)
            assert asking.get("/readyz").status_code == 200
        refused = [answer for answer in answers if answer.status_code != 201]
        assert {answer.status_code for answer in refused} == {503}
        busy = [answer for answer in refused if answer.json()["type"].endswith(":busy")]
        assert busy and all(answer.headers["Retry-After"] for answer in busy)
        now = figures(asking.get("/metrics"))["mecapy_database_exhausted_total"]
        assert now - before == len(busy)
        assert asking.post("/tasks", json=SUBMIT).status_code == 201


@contextmanager
def held(url: str) -> Iterator[None]:
    """The table of tasks is locked by somebody else for the length of the block."""
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(url))
        runner.run(connection.execute("BEGIN; LOCK TABLE tasks"))
        try:
            yield
        finally:
            runner.run(connection.close())


def test_the_server_has_none_left(settings: Settings, own_postgres: Postgres) -> None:
    """Where PostgreSQL itself has too few, requests wait, and are refused with 503 and Retry-After
    at worst: each is taken in the end.
    """
    limited = (
        "CREATE ROLE mecapy LOGIN PASSWORD 'mecapy' CONNECTION LIMIT 3",
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO mecapy",
    )
    asyncio.run(execute(own_postgres.url, *limited))
    url = sa.make_url(own_postgres.url).set(username="mecapy", password="mecapy")
    fewer = settings.model_copy(update={"database_url": url.render_as_string(hide_password=False)})
    with served(fewer, hasty=True) as gateway, http(gateway.url) as asking:
        answers = submitted(asking, 12, again=True)
        assert {answer.status_code for answer in answers} == {201}


async def test_the_doctor_counts(settings: Settings, own_postgres: Postgres) -> None:
    """Nearly all connections of the server in use: the doctor names it with the numbers, and the
    gateway is ready.
    """
    others: list[Any] = [await asyncpg.connect(own_postgres.url) for _ in range(84)]
    try:
        with served(settings) as gateway:
            doctor = Doctor(gateway.url)
            await asyncio.to_thread(
                doctor.finds, "PostgreSQL's connections", "of PostgreSQL's 97", "max_connections"
            )
            await asyncio.to_thread(doctor.finds_part, "connections", 200, "short")
    finally:
        for other in others:
            await other.close()
