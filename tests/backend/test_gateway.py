"""Tasks over HTTP: a real uvicorn, PostgreSQL and Valkey."""

from __future__ import annotations

import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute
from pydantic import SecretStr

from mecapy_backend.api.app import create_app
from mecapy_backend.api.auth import caller_of
from mecapy_backend.shared.settings import Settings
from mecapy_jupyter import wire

from ..conftest import TOKEN, served
from .speak import Worker, client

DONE = wire.Outcome(wire.COMPLETED, result={"y": [1, None, "\ud800\u2028"]}, seconds=0.25)


def test_submit_and_look(gateway: Any) -> None:
    """A submitted task is queued with its position, and can be looked at."""
    with client(gateway) as http:
        first = http.post("/tasks", json={"code": "1"})
        assert first.status_code == 201 and first.json() | {"task_id": ""} == {
            "task_id": "",
            "status": "queued",
            "position": 1,
        }
        second = http.post(
            "/tasks", json={"code": "2", "priority": 9, "name": "sum", "inputs": {"a": [1.5, None]}}
        )
        assert second.json()["position"] == 1
        seen = http.get(first.headers["Location"]).json()
        assert (
            seen["status"],
            seen["position"],
            seen["attempts"],
            seen["result"],
            seen["completed_at"],
        ) == ("queued", 2, 0, None, None)
        assert [task["task_id"] for task in http.get("/tasks").json()["tasks"]] == [
            second.json()["task_id"],
            first.json()["task_id"],
        ]
        assert [
            task["name"] for task in http.get("/tasks", params={"name": "s*"}).json()["tasks"]
        ] == ["sum"]
        page = http.get("/tasks", params={"limit": 1}).json()
        assert (
            http.get("/tasks", params={"limit": 1, "cursor": page["next"]}).json()["tasks"][0][
                "task_id"
            ]
            == first.json()["task_id"]
        )
        assert http.get("/me").json()["tasks"] == {"queued": 2, "running": 0}


async def test_result(gateway: Any) -> None:
    """409 while a task is not final, then its JSON result, whatever characters it holds."""
    with client(gateway) as http:
        task_id = http.post("/tasks", json={"code": "1"}).json()["task_id"]
        early = http.get(f"/tasks/{task_id}/result")
        assert early.status_code == 409 and early.json()["type"] == "urn:mecapy:problem:not-final"
        async with Worker(gateway) as worker:
            await worker.start(task_id)
            await worker.finish(task_id, DONE)
        answer = http.get(f"/tasks/{task_id}/result").json()
        assert answer == {
            "task_id": task_id,
            "status": "completed",
            "result": DONE.result,
            "error": None,
            "seconds": 0.25,
            "payload": None,
        }
        assert http.get(f"/tasks/{task_id}").json()["result"] == DONE.result


def test_idempotency_key(gateway: Any) -> None:
    """One key and body make one task, also when sent at once; another body is refused."""
    with client(gateway) as http, ThreadPoolExecutor(8) as threads:
        headers = {"Idempotency-Key": "k1"}

        def submitted(_: int) -> httpx.Response:
            while (
                answer := http.post("/tasks", json={"code": "1"}, headers=headers)
            ).status_code == 503:
                assert answer.headers[
                    "Retry-After"
                ]  # a busy machine: as every client does, once more with the same key
            return answer

        answers = list(threads.map(submitted, range(24)))
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.json()["task_id"] for answer in answers}) == 1
        other = http.post("/tasks", json={"code": "2"}, headers=headers)
        assert (
            other.status_code == 422 and other.json()["type"] == "urn:mecapy:problem:key-conflict"
        )


async def test_cancel(gateway: Any) -> None:
    """A queued task is cancelled at once and leaves the queue; a running one is marked and its
    workers are told.
    """
    with client(gateway) as http:
        waits, runs = (http.post("/tasks", json={"code": "1"}).json()["task_id"] for _ in range(2))
        async with Worker(gateway) as worker:
            await worker.start(runs)
            listening = worker.redis.pubsub(ignore_subscribe_messages=True)
            await listening.subscribe("mecapy:control")
            await listening.get_message(timeout=120)
            assert http.post(f"/tasks/{waits}/cancel").json() == {
                "task_id": waits,
                "status": "cancelled",
            }
            assert await worker.redis.depth() == 0
            assert http.post(f"/tasks/{runs}/cancel").json() == {
                "task_id": runs,
                "status": "running",
            }
            message = await listening.get_message(timeout=120)
            assert message and json.loads(message["data"]) == {"cancel": runs}
            await listening.aclose()
        assert http.get(f"/tasks/{waits}/result").json()["status"] == "cancelled"
        assert http.get(f"/tasks/{runs}").json()["cancel_requested"] is True


def test_forget(gateway: Any) -> None:
    """A forgotten task is gone; forgetting twice is 404."""
    with client(gateway) as http:
        task_id = http.post("/tasks", json={"code": "1"}).json()["task_id"]
        assert http.delete(f"/tasks/{task_id}").status_code == 204
        assert (
            http.get(f"/tasks/{task_id}").status_code == 404
            and http.delete(f"/tasks/{task_id}").status_code == 404
        )
        assert http.get("/tasks").json() == {"tasks": [], "next": None}


def test_queue_full(database_url: str, redis_url: str, tmp_path: Path) -> None:
    """Over the limit of queued tasks the answer is 429 with Retry-After, and a cancelled task makes
    room.
    """
    urls: Any = {
        "database_url": database_url,
        "redis_url": redis_url,
        "blob_url": f"file://{tmp_path}",
    }
    settings = Settings(**urls, token=SecretStr(TOKEN), max_queued_tasks=1)
    with served(settings) as gateway, client(gateway) as http:
        made = http.post("/tasks", json={"code": "1"})
        refused = http.post("/tasks", json={"code": "1"})
        assert (
            refused.status_code == 429
            and refused.headers["Retry-After"]
            and "cancel" in refused.json()["detail"]
        )
        http.post(f"{made.headers['Location']}/cancel")
        assert http.post("/tasks", json={"code": "1"}).status_code == 201


def test_curl(gateway: Any) -> None:
    """Plain curl submits a task and looks at it, as the description in /docs shows."""
    if not shutil.which("curl"):
        pytest.skip("needs curl")
    auth = ["-H", f"Authorization: Bearer {gateway.token}"]
    body = '{"code": "a + b", "inputs": {"a": 3, "b": 4}}'
    made = subprocess.run(
        [
            "curl",
            "-sS",
            f"{gateway.url}/tasks",
            *auth,
            "-H",
            "Content-Type: application/json",
            "-d",
            body,
        ],
        capture_output=True,
        check=True,
    )
    task_id = json.loads(made.stdout)["task_id"]
    seen = subprocess.run(
        ["curl", "-sS", f"{gateway.url}/tasks/{task_id}", *auth], capture_output=True, check=True
    )
    assert json.loads(seen.stdout)["status"] == "queued"
    without_type = subprocess.run(
        ["curl", "-sS", f"{gateway.url}/tasks", *auth, "-d", body], capture_output=True, check=True
    )
    assert json.loads(without_type.stdout)["status"] == "queued"


def test_openapi(gateway: Any) -> None:
    """The OpenAPI document describes every body and answer without dangling references."""
    document = httpx.get(f"{gateway.url}/openapi.json", timeout=120).json()
    text = json.dumps(document)
    for reference in {
        part.split('"')[0] for part in text.split('"$ref": "#/components/schemas/')[1:]
    }:
        assert reference in document["components"]["schemas"]
    body = document["paths"]["/tasks"]["post"]["requestBody"]["content"]["application/json"][
        "schema"
    ]
    assert body["required"] == ["code"] and body["properties"]["timeout"]["default"] == 300.0


def test_routes_are_made_once_and_check_the_caller() -> None:
    """A gateway takes the routes that its modules have made, with all they depend on: making them
    again would delay its first request.
    """
    settings = Settings(token=SecretStr(TOKEN))  # pyright: ignore[reportCallIssue]
    routes, again = (
        [route for route in create_app(settings, embedded=True).routes if hasattr(route, "tags")]
        for _ in range(2)
    )
    described = [route for route in routes if isinstance(route, APIRoute)]
    assert len(described) > 50
    for route, same in zip(described, again, strict=True):
        assert route is same or route.path.startswith("/docs")
        assert caller_of in {each.call for each in route.dependant.dependencies}, route.path
