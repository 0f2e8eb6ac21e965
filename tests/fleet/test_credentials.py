"""A machine gets credentials of its own, once, and they end with it."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
import sqlalchemy as sa
from pydantic import SecretStr
from sqlalchemy.exc import DBAPIError

from mecapy_backend.fleet.credentials import MachineCredentials
from mecapy_backend.fleet.provider import ProviderRefused
from mecapy_backend.shared.settings import Settings
from mecapy_backend.store import database, machine_access, machines, workers
from mecapy_backend.store.blobs import bucket
from mecapy_backend.store.tables import metadata
from mecapy_jupyter import wire
from mecapy_jupyter.shared.processes import mecapy_command

from .. import weed
from ..conftest import TOKEN, RunningGateway, execute, served
from .test_local_fleet import PATIENCE_S, settings_of

Environment = dict[str, str]


def asked(gateway: RunningGateway, token: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.post(f"{gateway.url}/machines/credentials", headers=headers, timeout=60)


async def offered(db: Any, queue: Any, for_s: float = 600.0) -> tuple[str, str]:
    machine = await machines.intend(db, "pool", "scaleway-vm", 0.0, 0)
    return machine, await MachineCredentials(db, queue).offer(machine, for_s)


async def gone(db: Any, queue: Any, machine: str) -> None:
    await machines.change(db, machine, wire.GONE)
    await MachineCredentials(db, queue).revoke((await machines.fleet_row(db)).stack)


async def logs_in(environment: Environment) -> bool:
    try:
        await execute(environment["MECAPY_DATABASE_URL"], "SELECT count(*) FROM tasks")
    except DBAPIError as refused:
        assert "password authentication failed" in str(refused)
        return False
    return True


def reaches_redis(environment: Environment) -> bool:
    try:
        with redis.Redis.from_url(environment["MECAPY_REDIS_URL"]) as connection:
            return bool(connection.exists("mecapy:queue") in (0, 1))
    except redis.AuthenticationError:
        return False


async def test_once_and_not_after_it_is_gone(gateway: RunningGateway, db: Any, queue: Any) -> None:
    """The token works once; role and user log in until the machine is gone, and then neither; a
    connection that was open is ended.
    """
    machine, token = await offered(db, queue)
    first = await asyncio.to_thread(asked, gateway, token)
    environment: Environment = first.json()["environment"]
    again = await asyncio.to_thread(asked, gateway, token)
    assert (first.status_code, again.status_code) == (200, 401)
    assert await logs_in(environment) and reaches_redis(environment)
    held = database.connect(environment["MECAPY_DATABASE_URL"], connect_s=60)
    async with held.connect() as connection:
        await gone(db, queue, machine)
        with pytest.raises(DBAPIError):
            await connection.execute(sa.text("SELECT 1"))
    await held.dispose()
    assert not await logs_in(environment) and not reaches_redis(environment)


def test_every_table_is_decided() -> None:
    """A machine's role is given each table, to read or to write, but the users' tokens and the
    audit: who adds a table decides.
    """
    given = {*machine_access.READ, *machine_access.WRITTEN} - {"alembic_version"}
    assert set(metadata.tables) - given == {"api_tokens", "audit"}
    assert given <= set(metadata.tables)


async def test_what_a_machine_may_not(gateway: RunningGateway, db: Any, queue: Any) -> None:
    """It reads no token of a user and no session of the page, and changes no machine and no user's
    role.
    """
    machine, token = await offered(db, queue)
    environment = (await asyncio.to_thread(asked, gateway, token)).json()["environment"]
    for forbidden in (
        "SELECT * FROM api_tokens",
        "SELECT * FROM audit",
        "UPDATE users SET role = 'admin'",
        "DELETE FROM machines",
        "CREATE ROLE thief",
    ):
        with pytest.raises(DBAPIError, match="permission denied"):
            await execute(environment["MECAPY_DATABASE_URL"], forbidden)
    with redis.Redis.from_url(environment["MECAPY_REDIS_URL"]) as connection:
        for words in (("GET", "mecapy:page:x"), ("ACL", "LIST"), ("FLUSHALL",)):
            with pytest.raises(redis.ResponseError, match=r"(?i)permission"):
                connection.execute_command(*words)
    await gone(db, queue, machine)


@pytest.mark.parametrize("how", ["unknown", "late", "gone"])
async def test_a_token_that_is_none(gateway: RunningGateway, db: Any, queue: Any, how: str) -> None:
    """A guessed token, one that comes after three boot times, and one of a machine that was given
    up get nothing.
    """
    machine, token = await offered(db, queue, 0.0 if how == "late" else 600.0)
    if how == "gone":
        await gone(db, queue, machine)
    given = secrets.token_hex(32) if how == "unknown" else token
    answer = await asyncio.to_thread(asked, gateway, given)
    assert answer.status_code == 401 and "no machine's token" in answer.json()["detail"]


async def test_redis_forgets(gateway: RunningGateway, db: Any, queue: Any) -> None:
    """A Redis that lost its users has them again after the next round."""
    machine, token = await offered(db, queue)
    environment = (await asyncio.to_thread(asked, gateway, token)).json()["environment"]
    stack = (await machines.fleet_row(db)).stack
    await queue.execute_command("ACL", "DELUSER", f"mecapy-{stack}-{machine}")
    assert not reaches_redis(environment)
    await MachineCredentials(db, queue).revoke(stack)
    assert reaches_redis(environment)
    await gone(db, queue, machine)


async def test_who_may_not_make_roles(database_url: str, db: Any, queue: Any) -> None:
    """No machine is bought by a fleet that could give it no credentials; a user that owns nothing
    and may make roles can, and can end them.
    """
    name = f"plain_{secrets.token_hex(6)}"
    await execute(
        database_url,
        f"CREATE ROLE {name} LOGIN PASSWORD '{name}'",
        f"GRANT USAGE ON SCHEMA public TO {name} WITH GRANT OPTION",
        f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name} WITH GRANT OPTION",
    )
    url = sa.make_url(database_url).set(username=name, password=name)
    plain = database.connect(url.render_as_string(hide_password=False), connect_s=60)
    stack = (await machines.fleet_row(db)).stack
    try:
        with pytest.raises(ProviderRefused, match="CREATEROLE"):
            await offered(plain, queue)
        await execute(database_url, f"ALTER ROLE {name} CREATEROLE")
        machine, _ = await offered(plain, queue)
        role = await machine_access.make_role(plain, stack, machine, "ab" * 24, 3600)
        assert await machine_access.drop_roles(plain, stack, []) == [role]
    finally:
        await plain.dispose()
        await execute(
            database_url,
            f"DROP OWNED BY {name} CASCADE",  # first: what it granted goes with it
            f"DROP ROLE mecapy_{stack}_workers",
            f"DROP ROLE {name}",
        )


async def test_a_worker_works_with_them(
    gateway: RunningGateway, db: Any, queue: Any, tmp_path: Path
) -> None:
    """A real worker that knows the gateway's address and its token runs tasks, and its log
    misses no right.
    """
    work = tmp_path / "work"
    await asyncio.to_thread(work.mkdir, 0o711)
    machine, token = await offered(db, queue)
    hidden = ("MECAPY_DATABASE_URL", "MECAPY_REDIS_URL", "MECAPY_BLOB_URL")
    settings = {k: v for k, v in settings_of(gateway, work).items() if k not in hidden}
    settings |= {"MECAPY_URL": gateway.url, "MECAPY_MACHINE_TOKEN": token}
    command = mecapy_command("worker", "--hours", "1", "--machine", f"mecapy-x-{machine}")
    with (work / "log").open("wb") as log:
        worker = await asyncio.create_subprocess_exec(
            *command, env=settings, stdout=log, stderr=log
        )
    headers = {"Authorization": f"Bearer {gateway.token}"}
    async with httpx.AsyncClient(base_url=gateway.url, headers=headers, timeout=60) as client:
        made = [
            (await client.post("/tasks", json={"code": f"print('x' * 10**6)\n{n}"})).json()
            for n in range(3)
        ]
        limit = time.monotonic() + PATIENCE_S
        states: set[str] = set()
        while states != {"completed"}:
            assert time.monotonic() < limit and worker.returncode is None, states
            await asyncio.sleep(0.2)
            states = {
                (await client.get(f"/tasks/{one['task_id']}")).json()["status"] for one in made
            }
    (there,) = await workers.list_live(db)
    worker.terminate()
    await worker.wait()
    said = await asyncio.to_thread((work / "log").read_text)
    assert "permission denied" not in said and "NOPERM" not in said, said[-3000:]
    assert there.info.machine == machine
    await gone(db, queue, machine)


ROLES = {
    "sts": {
        "tokenDuration": "1h",
        "maxSessionLength": "12h",
        "issuer": "test",
        "signingKey": "c2lnbmluZy1rZXktb2YtdGhlLXRlc3RzLTMyLWNoYXJz",
    },
    "policy": {"defaultEffect": "Deny", "storeType": "memory"},
    "roleStore": {"storeType": "memory"},
    "policies": [
        {
            "name": "All",
            "document": {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Action": ["s3:*"], "Resource": ["*"]}],
            },
        }
    ],
    "roles": [
        {
            "roleName": "Machines",
            "roleArn": "arn:aws:iam::role/Machines",
            "trustPolicy": {
                "Version": "2012-10-17",
                "Statement": [{"Effect": "Allow", "Principal": "*", "Action": ["sts:AssumeRole"]}],
            },
            "attachedPolicies": ["All"],
        }
    ],
}


async def test_keys_of_the_store(
    database_url: str, redis_url: str, db: Any, queue: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """A real S3 server gives the role: a machine's keys open this stack's blobs, and nothing else
    of what the role may; the machine leaves before they end.
    """
    roles = tmp_path / "roles.json"
    await asyncio.to_thread(roles.write_text, json.dumps(ROLES))
    await asyncio.to_thread((tmp_path / "s3").mkdir)
    for name, value in weed.KEYS.items():
        monkeypatch.setenv(name, value)
    with weed.served(tmp_path / "s3", roles) as url:
        settings = Settings(
            database_url=database_url,
            redis_url=redis_url,
            blob_url="s3://blobs/mine",
            s3_endpoint_url=url,
            s3_region="us-east-1",
            machine_s3_role="arn:aws:iam::role/Machines",
            cache_dir=str(tmp_path / "cache"),
            token=SecretStr(TOKEN),
        )
        with served(settings) as gateway:
            machine, token = await offered(db, queue)
            answer = await asyncio.to_thread(asked, gateway, token)
            environment: Environment = answer.json()["environment"]
            assert environment[wire.MACHINE_HOURS] == "11"
            own = {name: value for name, value in environment.items() if name.startswith("AWS_")}
            assert len(own) == 3 and not set(own.values()) & set(weed.KEYS.values())
            for name, value in own.items():
                monkeypatch.setenv(name, value)
            await gone(db, queue, machine)
        mine = bucket.Bucket("blobs", "mine", url, "us-east-1")
        others = bucket.Bucket("blobs", "others", url, "us-east-1")
        kept = tmp_path / "kept"
        kept.write_bytes(b"x" * 20_000_000)  # in several parts
        mine.upload(kept, "blob")
        assert mine.size("blob") == 20_000_000
        mine.delete("blob")
        with pytest.raises(bucket.ObjectStoreError, match="AccessDenied"):
            others.upload(kept, "blob")
