"""The pitfalls of tokens, one by one, over HTTP: each is refused with its reason."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from mecapy_backend.api import oidc

from ..conftest import TOKEN
from .provider import Key, Provider


def ask(gateway: Any, token: str, path: str = "/me", method: str = "GET") -> httpx.Response:
    return httpx.request(
        method, f"{gateway.url}{path}", headers={"Authorization": f"Bearer {token}"}, timeout=120
    )


def unsigned(provider: Provider, alg: str = "none") -> str:
    header = json.dumps({"alg": alg, "kid": "first", "typ": "JWT"}).encode()
    return (
        ".".join(
            base64.urlsafe_b64encode(part).rstrip(b"=").decode()
            for part in (header, json.dumps(provider.claims()).encode())
        )
        + "."
    )


def signed_with_the_public_key(provider: Provider) -> str:
    """HS256 with the RSA public key as its secret: whoever takes the algorithm from the token
    believes it.
    """
    body = unsigned(provider, "HS256")[:-1]
    mac = hmac.new(provider.keys[0].public_pem, body.encode(), hashlib.sha256).digest()
    return f"{body}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def altered(provider: Provider) -> str:
    head, body, signature = provider.token().split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "==")) | {"sub": "grace"}
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"{head}.{body}.{signature}"


def own_key_in_the_header(provider: Provider, **header: Any) -> str:
    mine = Key("mine")
    return provider.token(key=mine, header=header | {"jwk": mine.published})


def now_s() -> int:
    return int(time.time())


BAD: dict[str, Callable[[Provider], str]] = {
    "no algorithm": unsigned,
    "no algorithm, in capitals": lambda p: unsigned(p, "NONE"),
    "HS256 with the public key": signed_with_the_public_key,
    "another key under a known id": lambda p: p.token(key=Key("other"), header={"kid": "first"}),
    "a key that is not published": lambda p: p.token(key=Key("other")),
    "altered claims": altered,
    "no key id": lambda p: p.token(header={"kid": ""}),
    "an algorithm the key is not for": lambda p: p.token(key=_as("first", "PS256")),
    "its own key in the header (jwk)": own_key_in_the_header,
    "the address of its own keys in the header (jku)": lambda p: own_key_in_the_header(
        p, jku=f"{p.issuer}/theirs"
    ),
    "a certificate in the header (x5u)": lambda p: own_key_in_the_header(
        p, x5u=f"{p.issuer}/theirs"
    ),
    "a critical extension": lambda p: p.token(header={"crit": ["b64"], "b64": True}),
    "another issuer": lambda p: p.token(iss="https://login.example.org/realms/other"),
    "the issuer with a slash more": lambda p: p.token(iss=f"{p.issuer}/"),
    "no issuer": lambda p: p.token(iss=None),
    "another audience": lambda p: p.token(aud="account"),
    "no audience": lambda p: p.token(aud=None),
    "an empty audience": lambda p: p.token(aud=[]),
    "expired": lambda p: p.token(iat=now_s() - 600, exp=now_s() - 300),
    "not valid yet (nbf)": lambda p: p.token(nbf=now_s() + 600),
    "issued in the future": lambda p: p.token(iat=now_s() + 600, exp=now_s() + 900),
    "no expiry": lambda p: p.token(exp=None),
    "no time of issue": lambda p: p.token(iat=None),
    "ten years of life": lambda p: p.token(exp=now_s() + 10 * 365 * 86400),
    "no subject": lambda p: p.token(sub=None),
    "an empty subject": lambda p: p.token(sub=""),
    "an ID token": lambda p: p.token(typ="ID"),
    "a refresh token": lambda p: p.token(typ="Refresh"),
    "an ID token without a type": lambda p: p.token(typ=None, aud=["mecapy-cli", "mecapy"]),
    "an ID token with a nonce": lambda p: p.token(typ=None, scope="openid", nonce="n-0S6_WzA2Mj"),
    "an ID token with a token's hash": lambda p: p.token(typ=None, scope="openid", at_hash="77Qm"),
    "a logout token": lambda p: p.token(typ=None, header={"typ": "logout+jwt"}),
    "a token of another kind": lambda p: p.token(header={"typ": "dpop+jwt"}),
    "another client (azp)": lambda p: p.token(azp="their-app"),
    "no client": lambda p: p.token(azp=None),
    "nonsense": lambda p: "not.a.token",
    "very long": lambda p: p.token(padding="x" * 30_000),
}


def _as(kid: str, alg: str) -> Key:
    Key(kid)
    return Key(kid, alg)


def test_what_is_refused(oidc_gateway: Any, provider: Provider) -> None:
    """Every bad token of the table is 401 with a reason that does not quote it; nobody got a row in
    the table of users by it.
    """
    assert ask(oidc_gateway, provider.token()).status_code == 200
    for what, make in BAD.items():
        token = make(provider)
        answer = ask(oidc_gateway, token)
        assert (what, answer.status_code, answer.headers["WWW-Authenticate"]) == (
            what,
            401,
            "Bearer",
        ), answer.text
        assert (
            "mecapy login" in answer.json()["detail"]
            and token not in answer.text
            and "eyJ" not in answer.text
        ), what
    assert [
        user["name"] for user in ask(oidc_gateway, TOKEN, "/users").json() if user["id"] != "local"
    ] == ["ada"]
    assert "/theirs" not in provider.asked


def test_an_access_token_of_google(oidc_gateway: Any) -> None:
    """It is opaque, and the answer names what to send instead."""
    refused = ask(oidc_gateway, "ya29.a0AfB_by")
    assert refused.status_code == 401 and "ya29" not in refused.text
    assert "identity token" in refused.json()["detail"] and "API token" in refused.json()["detail"]


def test_what_is_accepted(oidc_gateway: Any, provider: Provider) -> None:
    """The ways in which good tokens differ: the audience among others, clocks a few seconds apart,
    RFC 9068's type, elliptic curves.
    """
    provider.keys += [Key("curve", "ES256"), Key("unnamed", "RS512")]
    provider.keys[2].named.clear()
    now = now_s()
    good = {
        "plain": provider.token(),
        "one audience of several": provider.token(aud=["account", "mecapy"]),
        "expired within the leeway": provider.token(
            iat=now - 200, exp=now - int(oidc.LEEWAY_S) + 5
        ),
        "issued a little ahead": provider.token(iat=now + 5),
        "RFC 9068": provider.token(typ=None, header={"typ": "at+jwt"}),
        "Entra ID, version 2": provider.token(typ=None, scp="tasks", ver="2.0", tid="t", oid="o"),
        "Entra ID, version 1": provider.token(typ=None, azp=None, appid="mecapy-cli", scp="tasks"),
        "Entra ID, an hour and a half": provider.token(typ=None, scp="tasks", exp=now + 5400),
        "Entra ID, a program's own": provider.token(typ=None, idtyp="app", roles=["run"]),
        "Auth0": provider.token(
            typ=None, aud=["mecapy", "https://acme.auth0.com/userinfo"], scope="openid profile"
        ),
        "Auth0, with RFC 9068's profile": provider.token(
            typ=None, azp=None, client_id="mecapy-cli", header={"typ": "at+jwt"}
        ),
        "Google, a service account's for our audience": provider.token(
            typ=None, email="ci@acme.iam.gserviceaccount.com", email_verified=True
        ),
        "Okta": provider.token(typ=None, azp=None, cid="mecapy-cli", scp=["tasks"]),
        "no type in its header": provider.token(typ=None, header={"typ": None}),
        "RFC 9068's name of the client": provider.token(azp=None, client_id="mecapy-cli"),
        "ES256": provider.token(key=provider.keys[1]),
        "RS512, by a key that is published without its algorithm": provider.token(
            key=provider.keys[2]
        ),
    }
    answers = {what: ask(oidc_gateway, token) for what, token in good.items()}
    assert {what: answer.status_code for what, answer in answers.items()} == dict.fromkeys(
        good, 200
    )
    assert len({answer.json()["owner"] for answer in answers.values()}) == 1


def test_an_expired_token_is_forgotten(oidc_gateway: Any, provider: Provider) -> None:
    """A token that was accepted ends with its time, not with the memory of it."""
    for left_s in (4, 16, 64):  # a busy machine may take longer than that for one request
        ends_s = int(time.time() - oidc.LEEWAY_S) + left_s
        token = provider.token(iat=ends_s - 300, exp=ends_s)
        if (answer := ask(oidc_gateway, token)).status_code == 200:
            break
    assert answer.status_code == 200
    until = time.monotonic() + 200
    while ask(oidc_gateway, token).status_code == 200:
        assert time.monotonic() < until, "it never ends"
        time.sleep(0.1)
    assert ask(oidc_gateway, token).status_code == 401


def test_rotated_keys(
    oidc_gateway: Any, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new key is fetched when the first token signed with it comes; a key that is withdrawn no
    longer counts.
    """
    monkeypatch.setattr(oidc, "COOLDOWN_S", 0.0)
    assert ask(oidc_gateway, provider.token()).status_code == 200
    provider.keys.insert(0, Key("second"))
    assert ask(oidc_gateway, provider.token()).status_code == 200
    assert ask(oidc_gateway, provider.token("grace", key=Key("first"))).status_code == 200
    assert provider.fetches == 2
    del provider.keys[1]
    monkeypatch.setattr(oidc, "FRESH_S", 0.0)
    assert ask(oidc_gateway, provider.token("emmy", key=Key("first"))).status_code == 401
    assert ask(oidc_gateway, provider.token("emmy")).status_code == 200


def test_issuer_away(
    oidc_gateway: Any, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before the first answer tokens are 503 with Retry-After; once there were keys, they are kept
    as long as the issuer is away.
    """
    monkeypatch.setattr(oidc, "_FIRST_TRY_S", 0.0)
    monkeypatch.setattr(oidc, "COOLDOWN_S", 0.0)
    provider.away = True
    answer = ask(oidc_gateway, provider.token())
    assert (
        answer.status_code == 503
        and answer.headers["Retry-After"]
        and "identity provider" in answer.json()["detail"]
    )
    assert ask(oidc_gateway, TOKEN).status_code == 200
    provider.away = False
    assert ask(oidc_gateway, provider.token()).status_code == 200
    provider.away = True
    monkeypatch.setattr(oidc, "FRESH_S", 0.0)
    assert ask(oidc_gateway, provider.token("grace")).status_code == 200
    assert ask(oidc_gateway, provider.token(key=Key("other"))).status_code == 401


def test_random_keys(oidc_gateway: Any, provider: Provider) -> None:
    """A flood of invented key ids makes the gateway ask its issuer once in half a minute, not once
    each.
    """
    assert ask(oidc_gateway, provider.token()).status_code == 200
    with httpx.Client(base_url=oidc_gateway.url, timeout=120) as http:
        for number in range(1000):
            token = (
                provider.token(key=Key("other"), header={"kid": f"made-up-{number}"})
                if number < 3
                else _renamed(number)
            )
            assert http.get("/me", headers={"Authorization": f"Bearer {token}"}).status_code == 401
    assert provider.fetches == 1
    assert oidc.COOLDOWN_S >= 30 and oidc.FRESH_S >= 300
    assert ask(oidc_gateway, provider.token("grace")).status_code == 200


def _renamed(number: int) -> str:
    header = (
        base64.urlsafe_b64encode(json.dumps({"alg": "RS256", "kid": f"made-up-{number}"}).encode())
        .rstrip(b"=")
        .decode()
    )
    return f"{header}.e30.c2lnbmF0dXJl"
