"""A real Keycloak with the realm that MecaPy ships: from nothing to a first login, by the code that
a notebook shows.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from mecapy_backend.shared.settings import Settings
from mecapy_jupyter import cli
from mecapy_jupyter.client import device_login, logins
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.shared import errors

from ..conftest import served
from . import keycloak
from .test_login import until_true

pytestmark = [
    pytest.mark.skipif(bool(keycloak.why_not()), reason=keycloak.why_not()),
]


def user(name: str, *roles: str) -> dict[str, Any]:
    secret = {"type": "password", "value": keycloak.PASSWORD, "temporary": False}
    about = {
        "username": name,
        "enabled": True,
        "email": f"{name}@acme.example",
        "emailVerified": True,
        "firstName": name,
        "lastName": "L",
    }
    return about | {"credentials": [secret], "realmRoles": ["default-roles-mecapy", *roles]}


ACME = {
    "name": "Acme", "alias": "acme", "enabled": True,
    "domains": [{"name": "acme.example", "verified": True}],
    "members": [{"username": name, "membershipType": "UNMANAGED"} for name in ("ada", "mia")],
}  # fmt: skip


@pytest.fixture(scope="module")
def server() -> Iterator[keycloak.Keycloak]:
    people = [user("ada"), user("mia", "mecapy-manager"), user("root", "mecapy-admin")]
    with keycloak.served(people, [ACME]) as running:
        yield running


@pytest.fixture
def gateway(
    server: keycloak.Keycloak, database_url: str, redis_url: str, tmp_path: Path
) -> Iterator[Any]:
    """With nothing set but the issuer."""
    settings: dict[str, Any] = {
        "database_url": database_url,
        "redis_url": redis_url,
        "blob_url": f"file://{tmp_path}/blobs",
    }
    with served(Settings(**settings, oidc_issuer=server.issuer)) as running:
        yield running


def enters(link: str, name: str, yes: bool = True) -> None:
    """What a person does in a browser: opens the link, logs in, and says yes (or no)."""
    with httpx.Client(follow_redirects=True, timeout=60) as browser:
        browser.event_hooks["response"] = [lambda _: _keep_cookies(browser)]
        page = browser.get(link)
        page = browser.post(
            _action(page), data={"username": name}
        )  # with organisations, the password has a page of its own
        page = browser.post(_action(page), data={"username": name, "password": keycloak.PASSWORD})
        assert "accept" in page.text, page.text
        fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.text))
        done = browser.post(
            _action(page), data=fields | ({"accept": "Yes"} if yes else {"cancel": "No"})
        )
        assert done.status_code in (200, 400, 403), done.text


def _keep_cookies(browser: httpx.Client) -> None:
    """Browsers send secure cookies to this machine's own address without TLS,
    too; httpx does not.
    """
    for cookie in browser.cookies.jar:
        cookie.secure = False


def _action(page: httpx.Response) -> str:
    found = re.search(r'<form[^>]*action="([^"]+)"', page.text)
    assert found, page.text
    return str(page.url.join(unescape(found[1])))


def log_in(gateway: Any, name: str, capsys: pytest.CaptureFixture[str]) -> str:
    """`mecapy login`, with somebody who follows the link it prints; what it printed."""
    printed = list[str]()

    def person() -> None:
        until_true(
            lambda: bool(
                printed.append(capsys.readouterr().out)
                or re.search(r"open (\S+) on any device", "".join(printed))
            )
        )
        enters(re.findall(r"open (\S+) on any device", "".join(printed))[0], name)

    with ThreadPoolExecutor(1) as threads:
        browser = threads.submit(person)
        assert cli.main(["login", gateway.url]) == 0
        browser.result()
    return "".join(printed) + capsys.readouterr().out


@pytest.mark.long
def test_the_page_logs_in_there(gateway: Any) -> None:
    """The code flow with PKCE, as a browser walks it: from the gateway's page to Keycloak and back,
    with a session that knows name and organisation; the redirect elsewhere is refused.
    """
    own = {"Sec-Fetch-Site": "none"}
    with httpx.Client(timeout=60, headers=own) as browser:
        browser.event_hooks["response"] = [lambda _: _keep_cookies(browser)]
        there = browser.get(f"{gateway.url}/page/login/oidc").headers["location"]
        stolen = there.replace("page%2Flogin%2Fback", "page%2Felsewhere")
        assert browser.get(stolen).status_code == 400
        page = browser.get(there, follow_redirects=True)
        page = browser.post(_action(page), data={"username": "ada"})
        fields = {"username": "ada", "password": keycloak.PASSWORD}
        home = browser.post(_action(page), data=fields)
        assert home.status_code == 302, home.text
        assert home.headers["location"].startswith(f"{gateway.url}/page/login/back?")
        assert "Go on to MecaPy" in browser.get(home.headers["location"]).text
        account = browser.get(f"{gateway.url}/page/account").text
        assert "ada@acme.example" in account and "acme" in account


@pytest.mark.long
def test_from_nothing_to_a_first_login(
    gateway: Any, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`mecapy login` against a fresh Keycloak with our realm: the user has a name, an organisation
    and a role, and submits a task; the login is renewed, and ended by `mecapy logout`.
    """
    assert f"Logged in at {gateway.url} as ada." in log_in(gateway, "ada", capsys)
    session = Gateway(gateway.url, "")
    me = session.get("/me")
    assert (me["name"], me["email"], me["role"], me["organisation"]) == (
        "ada",
        "ada@acme.example",
        "user",
        "acme",
    )
    assert session.post("/tasks", {"code": "1"})["status"] == "queued"

    before = logins._read()[gateway.url]  # pyright: ignore[reportPrivateUsage]
    claims = jwt.decode(before["access"], options={"verify_signature": False})
    assert claims["exp"] - claims["iat"] == 300
    mine = logins.Login(gateway.url)
    assert (
        mine.refused(mine.token())
        and Gateway(gateway.url, mine.token()).get("/me")["owner"] == me["owner"]
    )
    after = logins._read()[gateway.url]  # pyright: ignore[reportPrivateUsage]
    assert (before["refresh"], before["access"]) != (after["refresh"], after["access"])

    with pytest.raises(
        errors.NotAuthorized, match="not accepted"
    ):  # signed by the same issuer, for the same user
        Gateway(gateway.url, after["refresh"]).get("/me")
    assert cli.main(["logout"]) == 0 and "revoked" in capsys.readouterr().out
    there = device_login.find(after["issuer"]["url"], "mecapy-cli")
    with pytest.raises(device_login.LoginEnded):
        device_login.renew(there, after["refresh"])


@pytest.mark.long
def test_roles(gateway: Any, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Keycloak's roles make a manager, who sees the organisation, and an admin, who sees everybody
    and disables.
    """
    log_in(gateway, "ada", capsys)
    ada = Gateway(gateway.url, "").get("/me")["owner"]
    Gateway(gateway.url, "").post("/tasks", {"code": "1", "name": "sweep"})
    log_in(gateway, "mia", capsys)
    session = Gateway(gateway.url, "")
    assert [(task["name"], task["user_name"]) for task in session.get("/users/tasks")] == [
        ("sweep", "ada")
    ]
    with pytest.raises(errors.NotAuthorized, match="admin"):
        session.delete(f"/users/{ada}")
    log_in(gateway, "root", capsys)
    session = Gateway(gateway.url, "")
    roles = {one["name"]: one["role"] for one in session.get("/users") if one["id"] != "local"}
    assert roles == {"ada": "user", "mia": "manager", "root": "admin"}
    session.delete(f"/users/{ada}")
    assert ada not in {one["id"] for one in session.get("/users")}


@pytest.mark.long
def test_a_login_that_is_refused(gateway: Any, home: Path, server: keycloak.Keycloak) -> None:
    """Whoever says no in the browser is not logged in, and the notebook hears it."""
    there = device_login.find(server.issuer, "mecapy-cli")
    code = device_login.ask(there, "openid offline_access")
    enters(code.link, "ada", yes=False)
    with pytest.raises(errors.NotAuthorized, match="refused"):
        device_login.wait(there, code, lambda _: time.sleep(0.2))


@pytest.mark.long
def test_another_client_of_the_realm(gateway: Any, server: keycloak.Keycloak) -> None:
    """A token that the same Keycloak gave to another client, as its own admin console, is not ours:
    its audience is another.
    """
    with httpx.Client(timeout=60) as http:
        about = {
            "client_id": "admin-cli",
            "grant_type": "password",
            "username": "ada",
            "password": keycloak.PASSWORD,
        }
        answer = http.post(f"{server.issuer}/protocol/openid-connect/token", data=about)
    assert answer.status_code == 200, answer.text
    with pytest.raises(errors.NotAuthorized, match="not accepted"):
        Gateway(gateway.url, answer.json()["access_token"]).get("/me")
