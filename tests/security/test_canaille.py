"""A real OpenID provider from the package index (Canaille, by pytest-iam): its documents, its keys,
its tokens.

Canaille 0.3 knows no device grant, and its access tokens look like ID tokens (no type, no client),
so what is accepted here is signed with its own key as RFC 9068 asks; what it issues itself is
refused for that reason and no other.
"""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest

from mecapy_backend.shared.settings import Settings
from mecapy_jupyter.client import device_login
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.shared import errors

from ..conftest import served

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its libraries
    pytest_iam = pytest.importorskip("pytest_iam", reason="needs pytest-iam")
    iam_server, iam_server_port, iam_configuration = (
        pytest_iam.iam_server,
        pytest_iam.iam_server_port,
        pytest_iam.iam_configuration,
    )

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def gateway(iam_server: Any, database_url: str, redis_url: str, tmp_path: Path) -> Iterator[Any]:
    settings: dict[str, Any] = {
        "database_url": database_url,
        "redis_url": redis_url,
        "blob_url": f"file://{tmp_path}/blobs",
    }
    with served(Settings(**settings, oidc_issuer=iam_server.url.rstrip("/"))) as running:
        yield running


def issued(iam_server: Any) -> dict[str, Any]:
    """What Canaille gives a client whose user logged in and consented
    (authorization code, PKCE).
    """
    user = iam_server.random_user()
    with iam_server.app.app_context():
        client = iam_server.models.Client(
            client_id="mecapy", client_name="MecaPy", redirect_uris=["http://127.0.0.1/back"],
            grant_types=["authorization_code"], response_types=["code"],
            token_endpoint_auth_method="none", scope=["openid", "profile", "email"],
        )  # fmt: skip
        iam_server.backend.save(client)
        client.audience = [client]
        iam_server.backend.save(client)
    iam_server.login(user)
    iam_server.consent(user, client)
    verifier = "a" * 64
    asked = {
        "response_type": "code", "client_id": "mecapy", "scope": "openid profile email",
        "redirect_uri": "http://127.0.0.1/back", "nonce": "n", "code_challenge": verifier,
        "code_challenge_method": "plain",
    }  # fmt: skip
    went = iam_server.test_client.get("/oauth/authorize", query_string=asked)
    code = parse_qs(urlsplit(went.headers["Location"]).query)["code"][0]
    form = {
        "grant_type": "authorization_code",
        "client_id": "mecapy",
        "code": code,
        "redirect_uri": "http://127.0.0.1/back",
    }
    answer = httpx.post(
        f"{iam_server.url}oauth/token", data=form | {"code_verifier": verifier}, timeout=120
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.long
def test_its_documents_and_keys(
    gateway: Any, iam_server: Any, iam_configuration: dict[str, Any]
) -> None:
    """The gateway finds Canaille's keys and believes what is signed with them, if it is an access
    token for us.
    """
    key = iam_configuration["CANAILLE_OIDC"]["ACTIVE_JWKS"][0]
    now = int(time.time())
    claims = {
        "iss": iam_server.url.rstrip("/"),
        "aud": "mecapy",
        "sub": "ada",
        "client_id": "mecapy-cli",
        "iat": now,
        "exp": now + 300,
    }
    signing = jwt.PyJWK(json.loads(json.dumps(key)), algorithm="RS256").key
    token = jwt.encode(
        claims | {"name": "Ada"}, signing, "RS256", {"kid": key["kid"], "typ": "at+jwt"}
    )
    assert Gateway(gateway.url, token).get("/me")["name"] == "Ada"


def test_what_it_issues(gateway: Any, iam_server: Any) -> None:
    """Canaille's own tokens pass signature, issuer, audience and time. Its ID token is refused
    because it is no access token, its access token because of the client it was issued to.
    """
    tokens = issued(iam_server)
    wrong = {"id_token": "no access token", "access_token": "not one of MECAPY_OIDC_CLIENTS"}
    for kind, why in wrong.items():
        with pytest.raises(errors.NotAuthorized, match=why):
            Gateway(gateway.url, tokens[kind]).get("/me")


def test_it_knows_no_devices(iam_server: Any) -> None:
    """`mecapy login` says so, and what to do instead."""
    with pytest.raises(errors.Refused, match="mecapy login --token"):
        device_login.find(iam_server.url.rstrip("/"), "mecapy-cli")
