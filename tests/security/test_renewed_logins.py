"""A login that is renewed: in time, when refused, by many kernels, when the provider is away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mecapy_backend.api import oidc
from mecapy_jupyter.client import config
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.shared import errors

from ..conftest import TOKEN
from .provider import Key, Provider
from .test_login import log_in, until_true


def test_renewed_in_time(oidc_gateway: Any, provider: Provider, home: Path) -> None:
    """A token is renewed before it ends, beside the work; the refresh token that was used is used
    no more.
    """
    provider.devices.lifetime_s = 2.0
    log_in(oidc_gateway, provider)
    gateway = Gateway(oidc_gateway.url, "")
    until_true(lambda: gateway.get("/me")["name"] == "ada" and len(provider.devices.issued) >= 8)
    until_true(
        lambda: (
            [one for one, who in list(provider.devices.refresh.items()) if who]
            == [_kept(home, oidc_gateway)["refresh"]]
        )
    )


def _kept(home: Path, gateway: Any) -> dict[str, Any]:
    return json.loads((home / "logins.json").read_text())[gateway.url]


def test_renewed_when_refused(
    oidc_gateway: Any, provider: Provider, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token that the gateway no longer takes, though its time is not over, is renewed and the
    request sent again.
    """
    monkeypatch.setattr(oidc, "COOLDOWN_S", 0.0)
    monkeypatch.setattr(oidc, "FRESH_S", 0.0)
    monkeypatch.setattr("mecapy_backend.api.callers._MOST_KNOWN", 1)
    log_in(oidc_gateway, provider)
    gateway = Gateway(oidc_gateway.url, "")
    assert gateway.get("/me")["name"] == "ada"
    provider.keys[:] = [Key("second")]
    assert Gateway(oidc_gateway.url, TOKEN).get("/healthz")
    assert (
        Gateway(oidc_gateway.url, provider.token("bob")).get("/me")["name"] == "bob"
    )  # takes ada's place in the gateway's memory
    before = len(provider.devices.issued)
    assert gateway.post("/tasks", {"code": "1"})["status"] == "queued"
    assert len(provider.devices.issued) == before + 2


_KERNEL = """
import sys, time
from mecapy_jupyter.client.http import Gateway
gateway = Gateway(sys.argv[1], "")
for _ in range(40):
    assert gateway.get("/me")["name"] == "ada"
    time.sleep(0.1)
"""


def test_many_kernels_share_one_login(oidc_gateway: Any, provider: Provider, home: Path) -> None:
    """Kernels that renew at the same moment do not spoil each other's login, where each refresh
    token may be used once.
    """
    provider.devices.lifetime_s = 1.0
    log_in(oidc_gateway, provider)
    kernels = [
        subprocess.Popen([sys.executable, "-c", _KERNEL, oidc_gateway.url], env=os.environ)
        for _ in range(3)
    ]
    gateway = Gateway(oidc_gateway.url, "")
    with ThreadPoolExecutor(8) as threads:
        names = list(
            threads.map(lambda _: (time.sleep(0.05), gateway.get("/me")["name"])[1], range(100))
        )
    assert set(names) == {"ada"}
    assert [kernel.wait(100) for kernel in kernels] == [0, 0, 0]
    until_true(
        lambda: (
            [one for one, who in list(provider.devices.refresh.items()) if who]
            == [_kept(home, oidc_gateway)["refresh"]]
        )
    )


def test_a_login_that_has_ended(oidc_gateway: Any, provider: Provider, home: Path) -> None:
    """When the provider forgets the login, the error says to log in again, and so does the next
    start.
    """
    provider.devices.lifetime_s = 1.0
    log_in(oidc_gateway, provider)
    provider.devices.refresh.clear()
    gateway = Gateway(oidc_gateway.url, "")

    def ended() -> bool:
        try:
            gateway.get("/me")
        except errors.NotAuthorized as said:
            return "%mecapy login" in str(said)
        return False

    until_true(ended)
    with pytest.raises(errors.ConfigError, match="mecapy login"):
        config.resolve(start=False)


def test_the_provider_is_away_for_a_moment(
    oidc_gateway: Any, provider: Provider, home: Path
) -> None:
    """A provider that does not answer costs nothing while the token is good, and the login survives
    it.
    """
    provider.devices.lifetime_s = 2.0
    log_in(oidc_gateway, provider)
    gateway = Gateway(oidc_gateway.url, "")
    assert gateway.get("/me")["name"] == "ada"
    provider.away = True

    def away() -> bool:
        try:
            gateway.get("/me")
        except errors.ConnectionFailed as said:
            return "identity provider" in str(said)
        return False

    until_true(away)
    provider.away = False
    assert gateway.get("/me")["name"] == "ada"
