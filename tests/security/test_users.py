"""Users from their first login to their deletion."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from blake3 import blake3

from mecapy_backend.shared.settings import Settings
from mecapy_backend.store import tables
from mecapy_backend.store.people import api_tokens, users
from mecapy_backend.store.tasks import retention
from mecapy_jupyter import wire

from ..backend.speak import Worker
from ..conftest import TOKEN, served
from .provider import Provider


def at(gateway: Any) -> Any:
    return httpx.Client(base_url=gateway.url, timeout=120)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def refused_soon(http: Any, token: str, status: int) -> httpx.Response:
    """The first answer that is no longer 200; within a time that no busy machine exceeds."""
    until = time.monotonic() + 240
    while (answer := http.get("/me", headers=bearer(token))).status_code == 200:
        assert time.monotonic() < until, "still accepted"
        time.sleep(0.05)
    assert answer.status_code == status, answer.text
    return answer


def test_first_login_and_the_next(http: Any, provider: Provider) -> None:
    """A user exists from the first token on; each new token brings name, role and organisation to
    what the issuer says now.
    """
    me = http.get(
        "/me",
        headers=bearer(provider.token("ada", email="ada@acme.example", organization=["acme"])),
    ).json()
    assert (me["name"], me["email"], me["role"], me["organisation"]) == (
        "ada",
        "ada@acme.example",
        "user",
        "acme",
    )
    roles = {"resource_access": {"mecapy": {"roles": ["mecapy-manager"]}}}
    again = http.get(
        "/me",
        headers=bearer(
            provider.token(
                "ada", preferred_username="Ada L.", organization={"beta": {"id": "7"}}, **roles
            )
        ),
    )
    left_out = dict.fromkeys(
        ("tasks", "limits", "scopes", "weight", "quotas", "organisation_quotas"), 0
    )
    assert again.json() | left_out == left_out | {
        "owner": me["owner"], "name": "Ada L.", "email": "", "role": "manager",
        "organisation": "beta",
    }  # fmt: skip
    local = http.get("/me", headers=bearer(TOKEN)).json()
    assert (local["owner"], local["role"], local["organisation"]) == ("local", "admin", None)


def test_organisation_from_a_group(settings: dict[str, Any], provider: Provider) -> None:
    """Where the issuer has no organisations, a group's first part is one, if the operator names
    that claim.
    """
    with served(Settings(**settings, oidc_organisation_claim="organization,groups")) as gateway:

        def ask(**claims):
            return httpx.get(
                f"{gateway.url}/me", headers=bearer(provider.token(**claims)), timeout=120
            ).json()["organisation"]

        assert ask(subject="ada", groups=["/acme/engineers", "/other"]) == "acme"
        assert ask(subject="bob", groups=["/x"], organization=["beta"]) == "beta"
        assert ask(subject="eve", groups=["/", " "]) is None


def test_no_statement_for_each_request(
    http: Any, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second request with a token asks neither the issuer nor the database who that is."""
    asked = list[str]()

    def spied(name: str, really: Any) -> Any:
        async def asks(*args: Any) -> Any:
            asked.append(name)
            return await really(*args)

        return asks

    for module, name in ((users, "upsert_identity"), (users, "get"), (api_tokens, "find")):
        monkeypatch.setattr(module, name, spied(name, getattr(module, name)))
    monkeypatch.setattr("mecapy_backend.api.callers.RECHECK_S", 3600.0)
    token = provider.token()
    key = http.post("/tokens", headers=bearer(token), json={"name": "ci"}).json()["token"]
    for _ in range(20):
        assert {
            http.get("/tasks", headers=bearer(which)).status_code for which in (token, key)
        } == {200}
    assert asked == ["upsert_identity", "find"] and provider.fetches == 1


async def test_disabled(
    http: Any, oidc_gateway: Any, settings: dict[str, Any], provider: Provider
) -> None:
    """Whom an admin disables is refused with every token at every gateway within seconds; what they
    had queued and running stops.
    """
    token = provider.token("eve")
    key = http.post("/tokens", headers=bearer(token), json={"name": "ci"}).json()["token"]
    waits, runs = (
        http.post("/tasks", headers=bearer(token), json={"code": "1"}).json()["task_id"]
        for _ in range(2)
    )
    user = http.get("/me", headers=bearer(key)).json()["owner"]
    async with Worker(oidc_gateway) as worker:
        await worker.start(runs)
        with served(Settings(**settings)) as other, at(other) as there:
            assert there.get("/me", headers=bearer(token)).status_code == 200
            assert (
                http.patch(f"/users/{user}", headers=bearer(TOKEN), json={"disabled": True}).json()[
                    "disabled"
                ]
                is True
            )
            assert (
                http.get("/me", headers=bearer(token)).status_code == 403
                and http.get("/me", headers=bearer(key)).status_code == 403
            )
            answer = refused_soon(there, token, 403)
            assert "operator" in answer.json()["detail"]
        async with worker.db.connect() as connection:
            rows = await connection.execute(
                sa.select(tables.tasks.c.id, tables.tasks.c.state, tables.tasks.c.cancel_requested)
            )
            assert {row[0]: row[1:] for row in rows} == {
                waits: ("cancelled", True),
                runs: ("running", True),
            }
        assert await worker.redis.depth() == 0
    fresh = provider.token("eve", jti="another")
    assert http.get("/me", headers=bearer(fresh)).status_code == 403
    assert (
        http.patch(f"/users/{user}", headers=bearer(TOKEN), json={"disabled": False}).status_code
        == 200
    )
    assert http.get("/me", headers=bearer(fresh)).status_code == 200


def test_nobody_locks_themselves_out(http: Any, provider: Provider) -> None:
    """An admin can neither disable nor delete themselves,
    nor the user of the gateway's own token.
    """
    token = provider.token("root", realm_access={"roles": ["mecapy-admin"]})
    me = http.get("/me", headers=bearer(token)).json()["owner"]
    for user in (me, "local"):
        assert http.delete(f"/users/{user}", headers=bearer(token)).status_code == 409
        assert (
            http.patch(f"/users/{user}", headers=bearer(token), json={"disabled": True}).status_code
            == 409
        )
    assert (
        http.patch(f"/users/{me}", headers=bearer(token), json={"max_queued": 5}).json()[
            "max_queued"
        ]
        == 5
    )


async def test_deleted(http: Any, oidc_gateway: Any, provider: Provider, tmp_path: Path) -> None:
    """Of a deleted user nothing is left but how many tasks there were, in which states, and when:
    no code, no output, no blob, no name.
    """
    secret = "what-eve-computes"
    blob = secret.encode() * 100
    digest = blake3(blob).hexdigest()
    token = provider.token("eve", email="eve@acme.example", organization=["acme"])
    with_blob = {
        "code": f"'{secret}'",
        "name": secret,
        "inputs": {"x": secret},
        "payload": {"buffers": [digest]},
    }
    assert http.put(f"/blobs/{digest}", headers=bearer(token), content=blob).status_code == 204
    done, runs, waits = (
        http.post("/tasks", headers=bearer(token), json=with_blob).json()["task_id"]
        for _ in range(3)
    )
    http.post("/tokens", headers=bearer(token), json={"name": secret})
    user = http.get("/me", headers=bearer(token)).json()["owner"]
    assert list((tmp_path / "blobs").rglob(digest))
    async with Worker(oidc_gateway) as worker:
        await worker.start(done)
        await worker.finish(
            done,
            wire.Outcome(wire.COMPLETED, result=secret, seconds=1),
            [wire.Event("1-0", "stdout", {"text": secret})],
        )
        await worker.start(runs)
        assert http.delete(f"/users/{user}", headers=bearer(TOKEN)).status_code == 204
        async with worker.db.connect() as connection:
            everything = ""
            for table in tables.metadata.sorted_tables:
                everything += "\n".join(
                    map(str, (await connection.execute(sa.select(table))).all())
                )
            states = (
                await connection.execute(sa.select(tables.tasks.c.id, tables.tasks.c.state))
            ).all()
        assert secret not in everything and digest not in everything and "eve" not in everything
        assert {row.id: row.state for row in states} == {
            done: "completed",
            runs: "cancelled",
            waits: "cancelled",
        }
        assert not await worker.redis.keys("mecapy:events:*") and await worker.redis.depth() == 0
        with pytest.raises(AssertionError):
            await worker.finish(runs, wire.Outcome(wire.COMPLETED, result=secret, seconds=1))
        async with worker.db.connect() as connection:
            await connection.execute(
                sa.update(tables.tasks).values(
                    completed_at=sa.func.now() - sa.text("interval '40 days'")
                )
            )
        assert (
            len(await retention.forget_old(worker.db, 30 * 86400.0)) == 3
        )  # its rows end as all do; what was counted stays
    assert not list((tmp_path / "blobs").rglob(digest))
    acme = http.get("/organisations", headers=bearer(TOKEN)).json()
    assert [(one["id"], one["users"], one["tasks"]) for one in acme] == [
        ("acme", 0, {"completed": 1, "cancelled": 2})
    ]
    assert http.delete(f"/users/{user}", headers=bearer(TOKEN)).status_code == 404
    again = http.get("/me", headers=bearer(provider.token("eve"))).json()
    assert again["owner"] != user and again["tasks"] == {"queued": 0, "running": 0}
