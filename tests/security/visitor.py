"""A browser without scripts, for the tests that attack the page."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import httpx

EVIL = "</pre></iframe>\"'><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}"


class Tags(HTMLParser):
    """The elements and attributes that a browser would see."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags = list[tuple[str, dict[str, str | None]]]()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


class Visitor:
    """A browser without scripts: its cookies, its Origin."""

    def __init__(self, gateway: Any) -> None:
        self.http = httpx.Client(base_url=gateway.url, timeout=120)
        self.own = {"Origin": gateway.url, "Sec-Fetch-Site": "same-origin"}
        self.typed = {"Sec-Fetch-Site": "none"}

    def log_in(self, token: str, **more: str) -> httpx.Response:
        return self.http.post("/page/login", data={"token": token} | more, headers=self.own)

    def get(self, path: str, **headers: str) -> httpx.Response:
        return self.http.get(path, headers=headers)

    def csrf(self) -> str:
        found = re.search(r'name="csrf" value="([^"]+)"', self.get("/").text)
        assert found, "not logged in"
        return found[1]

    def post(self, path: str, **form: str) -> httpx.Response:
        return self.http.post(path, data=form, headers=self.own)
