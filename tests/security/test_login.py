"""Logging in with a code, staying logged in, and logging out: the client's side, against a real
gateway and a provider of ours.
"""

from __future__ import annotations

import io
import json
import re
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mecapy_jupyter import cli
from mecapy_jupyter.client import config, device_login, logins
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.shared import errors

from ..conftest import TOKEN
from .provider import CLIENT, USER_CODE, Provider


@contextmanager
def entering(provider: Provider, who: str) -> Iterator[None]:
    """Somebody elsewhere enters the code, once it was asked for twice in vain."""

    def enter() -> None:
        until = time.monotonic() + 240
        while provider.devices.polls < 2 and time.monotonic() < until:
            time.sleep(0.01)
        provider.devices.decision = who

    person = threading.Thread(target=enter, name="person")
    person.start()
    yield
    person.join()


def log_in(gateway: Any, provider: Provider, who: str = "ada") -> None:
    with entering(provider, who):
        assert cli.main(["login", gateway.url]) == 0


def until_true(what: Callable[[], bool]) -> None:
    until = time.monotonic() + 240
    while not what():
        assert time.monotonic() < until, "it never happens"
        time.sleep(0.02)


def test_a_login_by_code(
    oidc_gateway: Any, provider: Provider, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`mecapy login URL` shows a link and a code, waits, says who one is now, and keeps no token
    but in a file that nobody else reads.
    """
    log_in(oidc_gateway, provider)
    said = capsys.readouterr().out
    assert f"{provider.issuer}/enter?code={USER_CODE}" in said and USER_CODE in said
    assert f"Logged in at {oidc_gateway.url} as ada." in said and "eyJ" not in said
    assert config.read() == {"url": oidc_gateway.url}
    assert (
        stat.S_IMODE((home / "logins.json").stat().st_mode) == 0o600
        and stat.S_IMODE(home.stat().st_mode) == 0o700
    )
    at = config.resolve(start=False)
    assert (
        Gateway(at.url, at.token).get("/me")["name"] == "ada"
        and at.token == ""
        and "login" in at.source
    )


def test_the_gateway_of_the_environment(
    oidc_gateway: Any,
    provider: Provider,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Where MECAPY_URL names the gateway, as on a hub, `mecapy login` asks nothing; a MECAPY_TOKEN
    goes before the login.
    """
    monkeypatch.setenv("MECAPY_URL", oidc_gateway.url)
    with pytest.raises(errors.ConfigError, match="mecapy login"):
        config.resolve(start=False)
    with entering(provider, "ada"):
        assert cli.main(["login"]) == 0
    assert config.resolve(start=False).token == ""
    monkeypatch.setenv("MECAPY_TOKEN", TOKEN)
    assert config.resolve(start=False).token == TOKEN


@pytest.mark.parametrize(
    ("decision", "said"),
    [("access_denied", "refused in the browser"), ("expired_token", "in time")],
)
def test_a_login_that_fails(
    oidc_gateway: Any,
    provider: Provider,
    home: Path,
    capsys: pytest.CaptureFixture[str],
    decision: str,
    said: str,
) -> None:
    """A refused or forgotten code says so and changes nothing here."""
    config.save({"url": "http://before"})
    with entering(provider, decision):
        assert cli.main(["login", oidc_gateway.url]) == 1
    assert said in capsys.readouterr().err
    assert config.read() == {"url": "http://before"} and not (home / "logins.json").exists()


def test_a_provider_that_is_asked_too_often(provider: Provider) -> None:
    """`slow_down` makes each wait five seconds longer, as the standard has it; an expired code ends
    the waiting.
    """
    there = device_login.find(provider.issuer, CLIENT)
    code = device_login.ask(there, "openid")
    slept = list[float]()

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        provider.devices.decision = "slow_down" if len(slept) < 3 else "ada"

    assert device_login.wait(there, code, sleep).access
    assert slept == [0.05, 5.05, 10.05]


def test_without_an_issuer(
    gateway: Any, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A gateway that knows no issuer is logged in at with a token that is piped in."""
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{gateway.token}\n"))
    assert cli.main(["login", "--url", gateway.url]) == 0
    assert (
        config.read() == {"url": gateway.url, "token": gateway.token}
        and "as local" in capsys.readouterr().out
    )
    assert cli.main(["logout"]) == 0
    assert config.read() == {}
    monkeypatch.setattr("sys.stdin", io.StringIO("wrong\n"))
    assert cli.main(["login", "--url", gateway.url]) == 1 and config.read() == {}


def test_log_out(
    oidc_gateway: Any, provider: Provider, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`mecapy logout` ends the login at the provider and deletes it here; the address is forgotten
    too.
    """
    log_in(oidc_gateway, provider)
    assert cli.main(["logout"]) == 0 and "revoked" in capsys.readouterr().out
    assert (
        not provider.devices.refresh
        and config.read() == {}
        and json.loads((home / "logins.json").read_text()) == {}
    )
    with pytest.raises(errors.NotAuthorized, match="mecapy login"):
        Gateway(oidc_gateway.url, "").get("/me")
    assert cli.main(["logout"]) == 0


def test_in_the_keyring(
    oidc_gateway: Any, provider: Provider, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a keyring the refresh token is there and not in the file, also after it was renewed, and
    gone after the logout.
    """
    keyring = pytest.importorskip(
        "keyring", reason="needs keyring (pip install 'mecapy-jupyter[keyring]')"
    )
    from keyring.backend import KeyringBackend

    class Ring(KeyringBackend):
        priority = 5.0  # type: ignore[assignment]
        kept: dict[tuple[str, str], str] = {}  # noqa: RUF012

        def get_password(self, service: str, username: str) -> str | None:
            return self.kept.get((service, username))

        def set_password(self, service: str, username: str, password: str) -> None:
            self.kept[service, username] = password

        def delete_password(self, service: str, username: str) -> None:
            del self.kept[service, username]

    before = keyring.get_keyring()
    keyring.set_keyring(Ring())
    try:
        provider.devices.lifetime_s = 1.0
        log_in(oidc_gateway, provider)
        gateway = Gateway(oidc_gateway.url, "")
        until_true(
            lambda: gateway.get("/me")["name"] == "ada" and len(provider.devices.issued) >= 6
        )
        assert (
            list(Ring.kept) == [("mecapy", oidc_gateway.url)]
            and "refresh-" not in (home / "logins.json").read_text()
        )
        assert logins.forget(oidc_gateway.url) and not Ring.kept
    finally:
        keyring.set_keyring(before)


def test_api_tokens_on_the_command_line(
    oidc_gateway: Any, provider: Provider, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`mecapy token create` prints a token that works as MECAPY_TOKEN, `list` shows it without the
    secret, `revoke` ends it.
    """
    log_in(oidc_gateway, provider)
    capsys.readouterr()
    assert cli.main(["token", "create", "nightly", "--scopes", "read", "--days", "0"]) == 0
    (token,) = re.findall(r"(?m)^mecapy_\S{40,}$", capsys.readouterr().out)
    assert Gateway(oidc_gateway.url, token).get("/tasks")["tasks"] == []
    assert cli.main(["token", "list"]) == 0
    listed = capsys.readouterr().out
    assert "nightly  [read]  without end, last used" in listed and token not in listed
    (one,) = re.findall(r"(?m)^(\S{36})  nightly", listed)
    assert cli.main(["token", "revoke", one]) == 0
    with pytest.raises(errors.NotAuthorized, match="mecapy token create"):
        Gateway(oidc_gateway.url, token).get("/tasks")
    assert (
        cli.main(["token", "create", "x", "--scopes", "root"]) == 1
        and "scopes" in capsys.readouterr().err
    )
