"""The tokens that users make for scripts, and how long what was begun with one goes on."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from mecapy_backend.store import tables

from ..backend.speak import Worker
from .provider import Provider
from .test_users import at, bearer, refused_soon


async def test_api_tokens(http: Any, oidc_gateway: Any, provider: Provider) -> None:
    """A token is shown once, recognised by its prefix, stored as a digest, listed with its use, and
    refused once revoked.
    """
    login = provider.token()
    made = http.post(
        "/tokens",
        headers=bearer(login),
        json={"name": "nightly", "scopes": ["read", "read"], "days": 30},
    ).json()
    token = made["token"]
    assert token.startswith("mecapy_") and len(token) >= 40 and made["scopes"] == ["read"]
    assert http.get("/me", headers=bearer(token)).json()["scopes"] == ["read"]
    (listed,) = http.get("/tokens", headers=bearer(login)).json()
    assert (listed["name"], bool(listed["used_at"]), bool(listed["expires_at"])) == (
        "nightly",
        True,
        True,
    ) and "token" not in listed
    async with Worker(oidc_gateway) as worker, worker.db.connect() as connection:
        row = (await connection.execute(sa.select(tables.api_tokens))).one()
        assert row.digest == hashlib.sha256(token.encode()).digest() and token not in str(row)
    assert http.delete(f"/tokens/{made['id']}", headers=bearer(token)).status_code == 403
    assert http.delete(f"/tokens/{made['id']}", headers=bearer(login)).status_code == 204
    assert "mecapy token create" in http.get("/me", headers=bearer(token)).json()["detail"]
    assert (
        http.get("/me", headers=bearer(token)).status_code == 401
        and http.get("/tokens", headers=bearer(login)).json() == []
    )
    assert http.delete(f"/tokens/{made['id']}", headers=bearer(login)).status_code == 404


def test_an_api_token_expires(http: Any, provider: Provider) -> None:
    """After its days an API token is refused, also by a gateway that knew it."""
    for left_s in (4, 16, 64):  # a busy machine may take longer than that for one request
        asked = {"name": f"{left_s} s", "days": left_s / 86400}
        made = http.post("/tokens", headers=bearer(provider.token()), json=asked)
        token = made.json()["token"]
        if (answer := http.get("/me", headers=bearer(token))).status_code == 200:
            break
    assert answer.status_code == 200
    refused_soon(http, token, 401)


def test_bad_tokens(http: Any, provider: Provider) -> None:
    """What makes no sense is 422; more than a hundred tokens are refused;
    an invented one is 401.
    """
    login = bearer(provider.token())
    for body in (
        {"name": ""},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["root"]},
        {"name": "x", "days": -1},
        {},
    ):
        assert http.post("/tokens", headers=login, json=body).status_code == 422, body
    answers = [
        http.post("/tokens", headers=login, json={"name": str(number), "days": None}).status_code
        for number in range(101)
    ]
    assert answers == [201] * 100 + [409]
    assert http.get("/me", headers=bearer("mecapy_" + "A" * 43)).status_code == 401
    assert http.delete("/tokens/%00", headers=login).status_code == 404


def until_it_ends(lines: Iterator[str], within_s: float = 240) -> list[str]:
    """The lines of a stream that ends."""
    until, seen = time.monotonic() + within_s, list[str]()
    for line in lines:
        assert time.monotonic() < until, f"still open: {seen}"
        seen.append(line)
    return seen


@pytest.mark.parametrize("how", ["revoked", "disabled"])
def test_an_open_stream_ends_with_its_right(
    oidc_gateway: Any, http: Any, provider: Provider, how: str
) -> None:
    """Soon after the token is revoked, or its user disabled; one by another token goes on."""
    ada = bearer(provider.token("ada"))
    boss = bearer(provider.token("root", realm_access={"roles": ["mecapy-admin"]}))
    task = http.post("/tasks", json={"code": "1"}, headers=ada).json()["task_id"]
    ask, tokens = {"name": "ci", "scopes": ["read"]}, list[Any]()
    for _ in range(2):
        tokens.append(http.post("/tokens", json=ask, headers=ada).json())

    def stream(token: Any) -> Any:
        events = f"/tasks/{task}/events"
        return http.stream("GET", events, headers=bearer(token["token"]), timeout=240)

    with stream(tokens[0]) as first, stream(tokens[1]) as second, at(oidc_gateway) as other:
        if how == "revoked":
            path = f"/tokens/{tokens[0]['id']}"
            assert other.delete(path, headers=ada).status_code == 204
        else:
            path = f"/users/{other.get('/me', headers=ada).json()['owner']}"
            answer = other.patch(path, json={"disabled": True}, headers=boss)
            assert answer.status_code == 200, answer.text
        assert until_it_ends(first.iter_lines())[0] == "event: queued"
        lines = second.iter_lines()
        if how == "revoked":  # the other's first ping, 14 s after it began
            assert any(line.startswith(":") for line in lines)
        else:
            until_it_ends(lines)
