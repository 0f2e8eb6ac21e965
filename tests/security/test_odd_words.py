"""Words that no database, header or path holds, wherever a request may have a word: the answer has
a reason and is never a fault of the gateway's.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any, cast
from urllib.parse import quote

import httpx
import pytest

from ..backend.speak import client

ODD = {
    "character 0": "a\0b",
    "half a character": "a\ud800",
    "long": "a" * 3000,
    "a path": "../../etc/passwd",
    "lines": "a\r\nX-Forged: 1",
    "SQL": "' OR 1=1; --",
    "a pattern": "%_\\",
    "other digits": "٣",
    "backwards": "\u202eabc",
    "a huge number": "9" * 400,
    "not a number": "NaN",
    "an object": '{"$ref": "#"}',
}
METHODS = ("get", "post", "put", "patch", "delete")


def asked(openapi: Any, word: str) -> Iterator[tuple[str, str, str, Any]]:
    """Method, path, query and body for each place of each route that takes a word."""
    escaped = quote(word.encode(errors="surrogatepass"), safe="")
    for path, methods in openapi["paths"].items():
        for method in METHODS:
            if (route := methods.get(method)) is None:
                continue
            places = [one for one in route.get("parameters", ()) if one["in"] != "header"]
            filled = path
            for place in places:
                if place["in"] == "path":
                    filled = filled.replace(f"{{{place['name']}}}", escaped)
            if filled != path:
                yield method, filled, "", {}
            for place in places:
                if place["in"] == "query":
                    yield method, filled, f"{place['name']}={escaped}", {}
            for body in bodies(openapi, route, word):
                yield method, filled, "", body


def bodies(openapi: Any, route: Any, word: str) -> Iterator[Any]:
    """One with each member being the word, a list of it, an object with it."""
    content = route.get("requestBody", {}).get("content", {})
    schema = content.get("application/json", {}).get("schema")
    if schema is None:
        return
    name = schema.get("$ref", "").rpartition("/")[2]
    schema = openapi["components"]["schemas"].get(name, schema)
    needed = dict.fromkeys(schema.get("required", ()), "1")
    for member in cast("dict[str, Any]", schema.get("properties", {})):
        for value in (word, [word], {word: word}, {"pickle": word, "digest": word, "size": 1}):
            yield needed | {member: value}


FIRST = ("character 0", "half a character", "long", "lines", "a huge number")


@pytest.mark.parametrize(
    "odd", [odd if odd in FIRST else pytest.param(odd, marks=pytest.mark.long) for odd in ODD]
)
def test_every_place_of_every_route(gateway: Any, odd: str) -> None:
    """Answered with less than 500, and without a header that the word has brought."""
    with client(gateway) as http:
        openapi = http.get("/openapi.json").json()
        faults = list[str]()
        for method, path, query, body in asked(openapi, ODD[odd]):
            answer = http.request(
                method,
                f"{path}?{query}&follow=false" if query else path,
                content=json.dumps(body) if method in ("post", "put", "patch") else None,
                headers={"Content-Type": "application/json"},
            )
            if answer.status_code >= 429 or "X-Forged" in answer.headers:
                faults.append(f"{method} {path[:80]}?{query[:40]} {body} {answer.text[:100]}")
        assert not faults


HEADERS = ("Idempotency-Key", "X-Request-ID", "Last-Event-ID", "Accept", "Origin", "User-Agent")
WORDS = (b"\xff\xfe", b"a" * 3000, b"'; --", b"-1-0", b"\xd9\xa3")


def test_headers(gateway: Any) -> None:
    """The same for what a header has."""
    with client(gateway) as http:
        faults = [
            (header, word[:10], answer.request.method, answer.request.url.path, answer.text)
            for header, word in itertools.product(HEADERS, WORDS)
            for answer in with_header(http, {header.encode(): word})
            if answer.status_code >= 500
        ]
        assert not faults


def with_header(http: httpx.Client, header: dict[bytes, bytes]) -> Iterator[httpx.Response]:
    for method, path in (("post", "/tasks"), ("get", "/tasks"), ("get", "/me")):
        body = {"code": "1"} if method == "post" else None
        yield http.request(method, path, json=body, headers=header)
    task = http.post("/tasks", json={"code": "1"}).json()["task_id"]
    yield http.get(f"/tasks/{task}/events?follow=false", headers=header)
