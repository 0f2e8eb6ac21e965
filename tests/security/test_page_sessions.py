"""Sessions of the page: what begins and ends one, and who is logged in by nobody else's link."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from mecapy_backend.page.routes import PAGES

from ..backend.speak import client
from .visitor import Visitor


def test_without_a_session_there_is_only_the_login(gateway: Any) -> None:
    """Each address of the page answers 401 with the form, and says nothing of anybody."""
    visitor = Visitor(gateway)
    with visitor.http:
        for page in PAGES:
            path = re.sub(r"\{[^}]+\}", "x", page.path)
            answer = visitor.http.request(page.method, path, headers=visitor.own)
            assert (answer.status_code, "Log in to MecaPy" in answer.text) == (401, True), path


def test_the_cookie_opens_no_rest(gateway: Any, visitor: Visitor) -> None:
    """A session is good for pages alone: REST takes bearer tokens only."""
    assert visitor.get("/").status_code == 200
    assert visitor.get("/tasks").status_code == 401
    assert visitor.get("/me", Authorization="Bearer").status_code == 401
    assert visitor.http.post("/tasks", json={"code": "1"}).status_code == 401


def test_the_link_logs_in_once(gateway: Any) -> None:
    """A link of POST /login-links begins a session, its secret leaves the address, and it works
    once.
    """
    with client(gateway) as http:
        path = http.post("/login-links").json()["path"]
    assert gateway.token not in path
    visitor = Visitor(gateway)
    with visitor.http:
        answer = visitor.get(path, **visitor.typed)
        assert (answer.status_code, answer.headers["location"]) == (303, "/")
        cookie = answer.headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=strict" in cookie
        assert visitor.get("/").status_code == 200
        visitor.http.cookies.clear()
        assert visitor.get(path, **visitor.typed).status_code == 401
        assert visitor.get(f"/?token={gateway.token}", **visitor.typed).status_code == 303


@pytest.mark.parametrize("site", ["cross-site", "same-site", ""])
def test_no_other_site_logs_anybody_in(gateway: Any, site: str) -> None:
    """A link on another site only fills in the form, and so does one from a browser that does not
    say where it was; a form there is refused.
    """
    visitor = Visitor(gateway)
    with visitor.http:
        answer = visitor.get(
            f"/?token={gateway.token}", **({"Sec-Fetch-Site": site} if site else {})
        )
        assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)
        visitor.own = {"Origin": "https://evil.example", "Sec-Fetch-Site": site}
        answer = visitor.log_in(gateway.token)
        assert (answer.status_code, "set-cookie" in answer.headers) == (401, False)


def test_a_session_is_new_at_each_login_and_ends(gateway: Any, visitor: Visitor) -> None:
    """No session that somebody planted is kept; the earlier one ends, and so does one at
    logout.
    """
    name, first = next(iter(visitor.http.cookies.items()))
    visitor.http.cookies.clear()
    visitor.http.cookies.set(name, "planted")
    assert visitor.get("/").status_code == 401
    visitor.http.cookies.clear()
    visitor.http.cookies.set(name, first)
    answer = visitor.log_in(gateway.token)
    second = answer.cookies[name]
    assert second not in (first, "planted")
    for dead in (first, "planted"):
        stale = httpx.get(gateway.url, cookies={name: dead}, timeout=120)
        assert stale.status_code == 401
    visitor.http.cookies.clear()
    visitor.http.cookies.set(name, second)
    assert visitor.post("/page/logout", csrf=visitor.csrf()).status_code == 303
    assert httpx.get(gateway.url, cookies={name: second}, timeout=120).status_code == 401


@pytest.mark.parametrize(
    "back", ["https://evil.example/", "//evil.example", "/\\evil.example", "/page/../tasks", "/x"]
)
def test_no_open_redirect(gateway: Any, back: str) -> None:
    """After the login one is on a page of ours, whatever the form says."""
    visitor = Visitor(gateway)
    with visitor.http:
        assert visitor.log_in(gateway.token, back=back).headers["location"] == "/"
