"""What the gateway answers to bodies, addresses, filters and tokens that make no sense."""

from __future__ import annotations

import itertools
from typing import Any

import httpx
import pytest

from .speak import client

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
