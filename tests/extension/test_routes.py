"""What a page may ask of the gateway through the Jupyter server, and what it may not: a real server
behind a base URL, a real gateway.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import httpx
import pytest

from mecapy_backend.store.people import api_tokens, users
from mecapy_backend.store.people.users import Identity
from mecapy_jupyter.client.http import Gateway

from .server import Server, running

pytest.importorskip(
    "jupyter_server", reason="no Jupyter server is installed (pip install mecapy-jupyter[lab])"
)
ABSENT = "00000000-0000-4000-8000-000000000000"
EVIL = "https://evil.example"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("home")) as started:
        yield started


@pytest.fixture
def page(server: Server, gateway: Any) -> Iterator[httpx.Client]:
    """A logged-in page of a user whose gateway is this test's."""
    server.says_configured(gateway.url, gateway.token)
    with closing(server.page()) as opened:
        yield opened


@pytest.fixture
def task_id(gateway: Any) -> str:
    """A task that waits: there is no worker."""
    body = {"code": "secret = 1", "name": "mine", "inputs": {"hidden": "hidden-input"}}
    return Gateway(gateway.url, gateway.token).post("/tasks", body)["task_id"]


def test_installing_enables_it() -> None:
    """`jupyter server extension list` names it, enabled and valid."""
    done = subprocess.run(
        [sys.executable, "-m", "jupyter_server.extension.serverextension", "list"],
        capture_output=True,
        text=True,
        check=True,
    )
    listed = done.stdout + done.stderr
    assert "mecapy_jupyter" in listed
    mine = listed[listed.index("mecapy_jupyter") :].splitlines()
    assert "enabled" in mine[0] and "OK" in mine[2], listed


def test_look_and_cancel(server: Server, page: httpx.Client, gateway: Any, task_id: str) -> None:
    """A page sees how a task is and stops it; it sees nothing of its code and data, and no answer
    holds the token.
    """
    seen = page.get(f"mecapy/tasks/{task_id}")
    assert seen.status_code == 200 and seen.headers["Cache-Control"] == "no-store"
    assert (
        seen.json().items()
        >= {"task_id": task_id, "name": "mine", "status": "queued", "position": 1}.items()
    )
    assert not {"result", "error", "code", "inputs"} & seen.json().keys()
    stopped = page.post(f"mecapy/tasks/{task_id}/cancel")
    assert (stopped.status_code, stopped.json()) == (
        200,
        {"task_id": task_id, "status": "cancelled"},
    )
    assert Gateway(gateway.url, gateway.token).get(f"/tasks/{task_id}")["status"] == "cancelled"
    absent = page.post(f"mecapy/tasks/{ABSENT}/cancel")
    assert absent.status_code == 404 and "message" in absent.json()
    for answer in (seen, stopped, absent):
        assert gateway.token not in answer.text + str(answer.headers)


def test_what_the_sidebar_shows(
    server: Server, page: httpx.Client, gateway: Any, task_id: str
) -> None:
    """My tasks by state and time, the queue and the pool, in one answer; nothing of code and data,
    and no token.
    """
    seen = page.get("mecapy/overview")
    assert seen.status_code == 200 and seen.headers["Cache-Control"] == "no-store"
    found = seen.json()
    assert (found["queued"], found["pool"]) == (1, "no worker: tasks wait until one starts")
    (task,) = found["tasks"]
    assert task.items() >= {"task_id": task_id, "name": "mine", "status": "queued"}.items()
    assert not {"code", "inputs", "result", "error"} & task.keys()
    assert gateway.token not in seen.text
    with httpx.Client(base_url=server.url, timeout=120) as stranger:
        assert stranger.get("mecapy/overview").status_code == 403


def test_a_page_elsewhere_cannot(
    server: Server, page: httpx.Client, gateway: Any, task_id: str
) -> None:
    """No XSRF value, a wrong one, a foreign origin, no login: each is refused, and the task goes on
    waiting.
    """
    path = f"mecapy/tasks/{task_id}/cancel"
    assert page.post(path, headers={"X-XSRFToken": ""}).status_code == 403
    assert page.post(path, headers={"X-XSRFToken": "0" * 32}).status_code == 403
    assert page.post(path, headers={"Origin": EVIL}).status_code in (403, 404)
    assert page.get(
        f"mecapy/tasks/{task_id}", headers={"Origin": EVIL, "Referer": EVIL}
    ).status_code in (403, 404)
    assert page.get(path).status_code == 405
    with httpx.Client(base_url=server.url, timeout=120) as stranger:
        assert stranger.post(path).status_code == 403
        assert stranger.get(f"mecapy/tasks/{task_id}").status_code == 403
    assert Gateway(gateway.url, gateway.token).get(f"/tasks/{task_id}")["status"] == "queued"


async def test_a_task_of_another_user(
    server: Server, page: httpx.Client, gateway: Any, db: Any, task_id: str
) -> None:
    """For a page of somebody else it is not there, to look at or to stop, and it goes on waiting;
    whatever the page sends along changes neither whose page it is nor what is asked.
    """
    person = Identity("https://issuer", "bob", "bob", "bob@acme", "acme", "user", 9e9)
    user = (await users.upsert_identity(db, person)).id
    made = await api_tokens.create(db, user, "page", ["read", "tasks"], None, 10)
    assert made
    server.says_configured(gateway.url, made.token)
    sent: dict[str, Any] = {
        "headers": {"X-Forwarded-User": "local", "X-Mecapy-Token": gateway.token},
        "params": {"owner": "local", "url": gateway.url},
    }
    for more in ({}, sent):
        look = await asyncio.to_thread(page.get, f"mecapy/tasks/{task_id}", **more)
        stop = await asyncio.to_thread(page.post, f"mecapy/tasks/{task_id}/cancel", **more)
        assert (look.status_code, stop.status_code) == (404, 404), (look.text, stop.text)
        assert "mine" not in look.text + stop.text
    there = Gateway(gateway.url, gateway.token)
    assert (await asyncio.to_thread(there.get, f"/tasks/{task_id}"))["status"] == "queued"


ELSEWHERE = """me tasks tasks/{id}/result tasks/{id}/request tasks/{id}/events
tasks/{id}/..%2f..%2fme tasks/..%2f..%2fme tasks/%2e%2e/me
tasks/{id}%2fresult tasks/{id}%3fx=1 tasks/{id}%0a tasks/{upper}
tasks//{id} ../mecapy/tasks/{id}/../../me"""


def test_nothing_else_passes(page: httpx.Client, task_id: str) -> None:
    """Whatever is not a task's id, or not one of the questions, is not there."""
    for path in ELSEWHERE.format(id=task_id, upper=task_id.upper()).split():
        url = f"{page.base_url}mecapy/{path}"
        assert page.get(url).status_code == 404, path
        assert {page.post(url).status_code, page.delete(url).status_code} <= {403, 404, 405}, path
    assert page.delete(f"mecapy/tasks/{task_id}").status_code == 405


def test_a_gateway_that_is_away_or_refuses(
    server: Server, page: httpx.Client, gateway: Any
) -> None:
    """The page gets a sentence, never the token, and the server serves on."""
    for url, token in ((gateway.url, "wrong-token"), ("http://127.0.0.1:9", gateway.token)):
        server.says_configured(url, token)
        answer = page.get(f"mecapy/tasks/{ABSENT}")
        assert answer.status_code == 502 and len(answer.json()["message"]) > 20
        assert token not in answer.text
    assert page.get("api/status").status_code == 200
    assert gateway.token not in server.log.read_text()
