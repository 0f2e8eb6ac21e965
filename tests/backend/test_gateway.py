"""Tasks over HTTP: a real uvicorn, PostgreSQL and Valkey."""

from __future__ import annotations

import asyncio
import itertools
import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from mecapy_backend.shared.settings import Settings
from mecapy_backend.store import workers
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
            await listening.get_message(timeout=5)
            assert http.post(f"/tasks/{waits}/cancel").json() == {
                "task_id": waits,
                "status": "cancelled",
            }
            assert await worker.redis.depth() == 0
            assert http.post(f"/tasks/{runs}/cancel").json() == {
                "task_id": runs,
                "status": "running",
            }
            message = await listening.get_message(timeout=5)
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


async def test_workers_and_eta(gateway: Any) -> None:
    """Living workers are listed with what they say of themselves; with them and a finished task, a
    wait is estimated.
    """
    with client(gateway) as http:
        first, *_, last = (
            http.post("/tasks", json={"code": "1"}).json()["task_id"] for _ in range(5)
        )
        assert http.get(f"/tasks/{last}").json()["eta_s"] is None
        async with Worker(gateway) as worker:
            await workers.heartbeat(worker.db, "w1", {"slots": 0})
            await workers.heartbeat(worker.db, "w1", {"slots": 2, "python": "3.12.1"})
            assert [one["info"] for one in http.get("/workers").json()] == [
                {"slots": 2, "python": "3.12.1"}
            ]
            await worker.start(first)
            await worker.finish(first, DONE)
            assert http.get(f"/tasks/{last}").json()["eta_s"] >= 0
            await workers.remove(worker.db, "w1")
            assert http.get("/workers").json() == []


async def test_what_all_workers_have(gateway: Any) -> None:
    """A package counts where every living worker has it, with each version; heartbeats keep it; one
    that has not told does not count.
    """
    with client(gateway) as http:
        folder = {"folder_bytes": 20_000_000, "folder_files": 1000, "adds": "off"}
        assert http.get("/workers/packages").json() == {"python": [], "packages": {}, **folder}
        async with Worker(gateway) as worker:
            assert not await workers.record_packages(worker.db, "w1", {})
            for name, version in (("w1", "2.1"), ("w2", "2.2"), ("w3", "")):
                await workers.heartbeat(worker.db, name, {"python": "3.12.1"})
                found = {"numpy": ["numpy", version], "PIL": ["pillow", "11"]} | (
                    {"only": ["only", "1"]} if name == "w2" else {}
                )
                assert not version or await workers.record_packages(worker.db, name, found)
                await workers.heartbeat(worker.db, name, {"python": "3.12.1", "running": 1})
            answer = http.get("/workers/packages").json()
            assert answer == {
                **folder,
                "python": ["3.12"],
                "packages": {"PIL": ["pillow", "11"], "numpy": ["numpy", "2.1", "2.2"]},
            }


async def test_a_python_that_no_worker_has(gateway: Any) -> None:
    """Refused, with the Pythons there are; accepted while no worker lives at all, or none is named.
    Packages are those of the Python that is asked for.
    """
    with client(gateway) as http:
        assert http.post("/tasks", json={"code": "1", "python": "3.14"}).status_code == 201
        async with Worker(gateway) as worker:
            for name, python in (("w1", "3.12.1"), ("w2", "3.13.0")):
                await workers.heartbeat(worker.db, name, {"slots": 1, "python": python})
                assert await workers.record_packages(worker.db, name, {name: ["numpy", python]})
            for mine in ("3.12", "3.13", ""):
                assert http.post("/tasks", json={"code": "1", "python": mine}).status_code == 201
            refused = await _until_refused(http, {"code": "1", "python": "3.14"})
            assert refused["type"].endswith("python-mismatch")
            assert "3.12 and 3.13" in refused["detail"] and "3.14" in refused["detail"]
            assert [one["python"] for one in http.get("/workers").json()] == ["3.12", "3.13"]
            for python, name in (("3.12", "w1"), ("3.13", "w2")):
                answer = http.get(f"/workers/packages?python={python}").json()
                assert answer["python"] == ["3.12", "3.13"] and [*answer["packages"]] == [name]


async def _until_refused(http: Any, body: dict[str, Any]) -> dict[str, Any]:
    """The gateway looks at the workers every two seconds."""
    async with asyncio.timeout(30):
        while (answer := http.post("/tasks", json=body)).status_code != 422:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
    return answer.json()


BAD: list[tuple[str, bytes, int]] = [
    ("no JSON", b"{", 422),
    ("empty", b"", 422),
    ("not an object", b"[]", 422),
    ("no code", b"{}", 422),
    ("empty code", b'{"code": ""}', 422),
    ("code of wrong type", b'{"code": 1}', 422),
    ("priority as text", b'{"code": "1", "priority": "5"}', 422),
    ("priority too high", b'{"code": "1", "priority": 10}', 422),
    ("priority huge", b'{"code": "1", "priority": 1' + b"0" * 5000 + b"}", 422),
    ("timeout NaN", b'{"code": "1", "timeout": NaN}', 422),
    ("timeout infinite", b'{"code": "1", "timeout": 1e999}', 422),
    ("timeout too long", b'{"code": "1", "timeout": 1e9}', 422),
    ("misspelt field", b'{"code": "1", "input": {}}', 422),
    ("NUL in code", b'{"code": "1\\u0000"}', 422),
    ("NUL in inputs", b'{"code": "1", "inputs": {"a": ["\\u0000"]}}', 422),
    ("NUL in name", b'{"code": "1", "name": "\\u0000"}', 422),
    ("raw NUL", b'{"code": "1\x00"}', 422),
    ("lone surrogate", b'{"code": "\\ud800"}', 422),
    ("lone surrogate in inputs", b'{"code": "1", "inputs": {"a": "\\udfff"}}', 422),
    ("not UTF-8", b'{"code": "\xff"}', 422),
    ("NaN in inputs", b'{"code": "1", "inputs": {"a": [NaN]}}', 422),
    ("infinite input", b'{"code": "1", "inputs": {"a": -Infinity}}', 422),
    ("huge int in inputs", b'{"code": "1", "inputs": {"a": 1' + b"0" * 5000 + b"}}", 422),
    ("deep inputs", b'{"code": "1", "inputs": {"a": ' + b"[" * 50_000 + b"]" * 50_000 + b"}}", 422),
    ("bad digest", b'{"code": "1", "payload": {"buffers": ["../../etc/passwd"]}}', 422),
    ("bad base64", b'{"code": "1", "payload": {"pickle": "!!"}}', 422),
    ("unpadded base64", b'{"code": "1", "payload": {"pickle": "abcde"}}', 422),
    ("long code", b'{"code": "' + b"x" * 1_000_001 + b'"}', 413),
    ("long body", b'{"code": "1", "inputs": {"a": "' + b"x" * 8_000_000 + b'"}}', 413),
]


def test_bad_bodies(gateway: Any) -> None:
    """Whatever is wrong with a body, the answer is a problem document with a reason, and no task
    exists.
    """
    with client(gateway) as http:
        for what, content, status in BAD:
            answer = http.post(
                "/tasks", content=content, headers={"Content-Type": "application/json"}
            )
            assert (what, answer.status_code, answer.headers["Content-Type"]) == (
                what,
                status,
                "application/problem+json",
            ), answer.text
            assert len(answer.json()["detail"]) > 10, what
        assert http.get("/tasks").json()["tasks"] == []


def test_fine_bodies(gateway: Any) -> None:
    """Odd but right bodies are taken: a backslash before u0000, large integers, any Unicode."""
    with client(gateway) as http:
        for content in (
            rb'{"code": "\"\\u0000\"", "inputs": {"a": "\\\\u0000 \u2028"}}',
            b'{"code": "1", "inputs": {"a": 1' + b"0" * 300 + b"}}",
            '{"code": "π = \'😀\'", "timeout": 5, "outputs": []}'.encode(),
        ):
            assert http.post("/tasks", content=content).status_code == 201, content


def test_body_in_chunks_is_limited(gateway: Any) -> None:
    """A body without a length is cut off at the limit too."""

    def chunks() -> Any:
        for _ in range(200):
            yield b" " * 100_000

    with client(gateway) as http:
        answer = http.post("/tasks", content=chunks())
        assert answer.status_code == 413 and answer.json()["type"] == "urn:mecapy:problem:too-large"


@pytest.mark.parametrize(
    "path", ["x", "0b8f9a58-5a5f-4c52-9c38-3f6d5d2f0c11", "%00", "..%2f..", "\u00e9", "1" * 5000]
)
def test_unknown_ids(gateway: Any, path: str) -> None:
    """An id that is none, or nobody's, is 404 with a problem document at every address."""
    with client(gateway) as http:
        for method, address in (
            ("GET", ""),
            ("GET", "/result"),
            ("GET", "/events"),
            ("POST", "/cancel"),
            ("DELETE", ""),
        ):
            answer = http.request(method, f"/tasks/{path}{address}")
            assert (answer.status_code, answer.headers["Content-Type"]) == (
                404,
                "application/problem+json",
            ), (method, address, answer.text)


def test_bad_queries(gateway: Any) -> None:
    """Filters that make no sense are 422, never 500."""
    with client(gateway) as http:
        for query in (
            "limit=0",
            "limit=x",
            "state=x",
            "since=yesterday",
            "cursor=x",
            "cursor=%00",
            "cursor=YQ==",
            "name=%00",
        ):
            answer = http.get(f"/tasks?{query}")
            assert (query, answer.status_code) == (query, 422) and answer.json()["detail"]
        assert (
            http.get("/tasks?since=0001-01-01T00:00:00&until=9999-12-31T23:59:59").status_code
            == 200
        )


def test_tokens(gateway: Any) -> None:
    """Without the right token every address but health (and, on the gateway's own machine, metrics)
    is 401 and says what to do.
    """
    wrong = ("", "Bearer wrong", "Basic eDp5", "Bearer \u00e9")
    open_paths = {"/livez", "/healthz", "/readyz", "/metrics", "/auth"}
    of_machines = {"/machines/credentials", "/machines/failed"}  # with a token of their own
    with httpx.Client(base_url=gateway.url, timeout=120) as http:
        for path, methods in http.get("/openapi.json").json()["paths"].items():
            for method, token in itertools.product(methods, wrong):
                answer = http.request(
                    method,
                    path.replace("{", "").replace("}", ""),
                    headers={"Authorization": token.encode()},
                    params={"why": "disk"},
                )
                assert (path, answer.status_code) == (path, 200 if path in open_paths else 401)
                if path not in open_paths | of_machines:
                    assert "Authorization: Bearer" in answer.json()["detail"]


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


def test_a_heartbeat_that_comes_too_rarely_is_refused() -> None:
    """Else the workers that live would count as gone; the error says which setting, and to what."""
    with pytest.raises(ValueError, match=r"MECAPY_HEARTBEAT_S is 20, .* 10 s .*set it to 3"):
        Settings(heartbeat_s=20.0)
