"""People and workers, looked after with the command alone."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import httpx
from pydantic import SecretStr

from ..conftest import TOKEN, execute, served
from ..stack.running import Stack, until
from .command import Done, mecapy

ELSEWHERE = {"X-Forwarded-For": "203.0.113.9"}


def asked(gateway: Any, path: str, token: str, method: str = "GET", **more: Any) -> httpx.Response:
    """From another machine: a proxy says so."""
    headers = ELSEWHERE | {"Authorization": f"Bearer {token}"}
    return httpx.request(method, gateway.url + path, headers=headers, timeout=120, **more)


def test_a_team_without_an_identity_provider(gateway: Any) -> None:
    """An admin makes users with tokens, limits, disables and erases them, by name."""

    def admin(*words: str) -> Done:
        return mecapy(*words, url=gateway.url, token=TOKEN)

    made = admin("user", "add", "ada", "--email", "ada@acme.example", "--org", "acme")
    assert made.code == 0, made
    token = next(line for line in made.out.splitlines() if line.startswith("mecapy_"))
    me = asked(gateway, "/me", token).json()
    assert (me["name"], me["organisation"], me["role"]) == ("ada", "acme", "user")
    assert asked(gateway, "/tasks", token, "POST", json={"code": "1"}).status_code == 201
    assert asked(gateway, "/users", token).status_code == 403
    again = admin("user", "add", "ada")
    assert again.code == 1 and "already" in again.err

    assert "max_running=2" in admin("user", "limit", "ada", "max_running=2").out
    assert "weight=3" not in admin("user", "limit", "ada", "weight=3", "weight=").out
    refused = admin("user", "limit", "ada", "speed=2")
    assert refused.code == 1 and "weight" in refused.err
    assert "ada@acme.example" in admin("user", "list").out
    assert "1 queued" in admin("org", "list").out and "  ada  " in admin("tasks", "--all-users").out
    took = f"INSERT INTO usage VALUES ('{me['owner']}', date_trunc('month', now()), 5400, 7)"
    asyncio.run(execute(gateway.settings.database_url, took))
    report = admin("org", "report").out.splitlines()
    assert report == ["acme  1.500 CPU-hours  7 attempts", "  ada  1.500 CPU-hours  7 attempts"]
    ended = "started_at = created_at + interval '2 s', completed_at = created_at + interval '5 s'"
    done = f"UPDATE tasks SET state = 'completed', {ended} WHERE owner = '{me['owner']}'"
    asyncio.run(execute(gateway.settings.database_url, done))
    report = admin("org", "report").out.splitlines()
    waited = "1 completed  waited 2 s (p50), 2 s (p99)"
    assert report[0] == f"acme  1.500 CPU-hours  7 attempts  {waited}"
    assert "no task" in admin("org", "report", "--month", "2001-01").out
    for words, name, value in (
        (("user", "list"), "email", "ada@acme.example"),
        (("user", "tokens", "ada"), "name", "first"),
        (("org", "list"), "users", 1),
        (("org", "report"), "tasks", 7),
    ):
        listed = json.loads(admin(*words, "--json").out)
        assert value in [one.get(name) for one in listed], (words, listed)
    assert json.loads(admin("doctor", "--json").out)[0]["good"] is True
    assert admin("org", "limit", "acme", "cpu_hours=10").code == 0
    assert asked(gateway, "/me", token).json()["organisation_quotas"]["cpu_hours"]["limit"] == 10

    second = admin("user", "token", "ada", "--name", "laptop", "--scopes", "read")
    (line,) = [one for one in admin("user", "tokens", "ada").out.splitlines() if "laptop" in one]
    assert "[read]" in line and second.out.split()[0] not in line
    assert admin("user", "revoke", "ada", line.split()[0]).code == 0
    assert asked(gateway, "/me", second.out.split()[0]).status_code == 401

    assert "disabled" in admin("user", "disable", "ada@acme.example").out
    assert asked(gateway, "/me", token).status_code == 403
    assert admin("user", "enable", "ada").code == 0
    assert asked(gateway, "/me", token).status_code == 200
    refused = admin("user", "erase", "ada")
    assert refused.code == 1 and "--yes" in refused.err
    assert admin("user", "erase", "ada", "--yes").code == 0
    assert asked(gateway, "/me", token).status_code == 401
    assert "ada" not in admin("user", "list").out
    assert "no user" in admin("user", "erase", "ada", "--yes").err
    audit = asked(gateway, "/audit", TOKEN).json()["lines"]
    acts = {line["act"] for line in audit}
    assert acts >= {"admin: make user", "admin: make token", "admin: delete user"}


def test_a_service_account_lives_without_the_token(gateway: Any) -> None:
    """Monitoring has a user of its own: its token reads the figures, whatever becomes of
    MECAPY_TOKEN, and nothing that is anybody's.
    """
    words = ("user", "add", "prometheus", "--role", "admin", "--scopes", "read", "--days", "0")
    made = mecapy(*words, url=gateway.url, token=TOKEN)
    token = next(line for line in made.out.splitlines() if line.startswith("mecapy_"))
    without = gateway.settings.model_copy(update={"token": SecretStr("")})
    with served(without) as other:
        assert asked(other, "/metrics", TOKEN).status_code == 401
        assert "mecapy_queue_depth" in asked(other, "/metrics", token).text
        for path in ("/users", "/users/tasks", "/audit"):
            assert asked(other, path, token).status_code == 403
        assert asked(other, "/tasks", token).json()["tasks"] == []


def test_replacing_the_token(gateway: Any) -> None:
    """While MECAPY_TOKEN is replaced, both are accepted; once only the new one stands there, the
    old one is refused.
    """
    both = gateway.settings.model_copy(update={"token": SecretStr(f"the-new-one, {TOKEN}")})
    with served(both) as during:
        for token in ("the-new-one", TOKEN):
            assert asked(during, "/me", token).json()["owner"] == "local"
        assert asked(during, "/me", f"the-new-one, {TOKEN}").status_code == 401
    new = gateway.settings.model_copy(update={"token": SecretStr("the-new-one")})
    with served(new) as after:
        assert asked(after, "/me", "the-new-one").status_code == 200
        assert asked(after, "/me", TOKEN).status_code == 401


def test_drain(tmp_path: Path) -> None:
    """A drained worker ends what it runs, takes no more tasks, and takes them again when told."""
    stack = Stack.up(tmp_path / "data")

    def admin(*words: str) -> Done:
        return mecapy(*words, url=stack.url, token=stack.token)

    def sent(code: str) -> str:
        return stack.submit(code, timeout=300)

    try:
        worker = until(lambda: admin("workers", "list").out).split()[0]
        running = sent("import time; time.sleep(8); 'ended'")
        until(lambda: stack.task(running).status == "running", 240)
        assert "drains" in admin("workers", "drain", worker).out
        until(lambda: "drained" in admin("workers").out, 240)
        assert stack.task(running).result == "ended"
        waits = sent("6 * 7")
        time.sleep(6)  # longer than it waits in the queue at a time
        assert stack.task(waits).status == "queued"
        assert "serves" in admin("workers", "drain", worker, "--undo").out
        assert until(lambda: stack.final(waits), 240).result == 42
        assert "no worker" in admin("workers", "drain", "worker-none").err
    finally:
        stack.down()
