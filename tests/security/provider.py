"""The smallest honest OpenID provider: discovery, a key set that can rotate or be away, logins by
device code, and tokens signed as one asks, also wrongly.

What a real provider never issues (no algorithm, a foreign audience, ten years of life), or does
only once in an hour, comes from here; `test_keycloak` and `test_canaille` ask real ones.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from hashlib import sha256
from http.server import ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from ..http_server import QuietHandler

AUDIENCE, CLIENT, USER_CODE = "mecapy", "mecapy-cli", "WDJB-MJHT"
_ready_made: dict[str, Any] = {}


class Key:
    """A key pair with an id and the algorithm it is published for."""

    def __init__(self, kid: str, alg: str = "RS256") -> None:
        self.kid, self.alg = kid, alg
        self.named = {"alg": alg}  # a provider may also publish a key without
        if kid not in _ready_made:  # making one takes long
            curve = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1}.get(alg)
            _ready_made[kid] = (
                ec.generate_private_key(curve()) if curve else rsa.generate_private_key(65537, 2048)
            )
        self.private = _ready_made[kid]

    @property
    def published(self) -> dict[str, Any]:
        kind = ECAlgorithm if self.alg.startswith("ES") else RSAAlgorithm
        return (
            kind.to_jwk(self.private.public_key(), as_dict=True)
            | {"kid": self.kid, "use": "sig"}
            | self.named
        )

    @property
    def public_pem(self) -> bytes:
        return self.private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )


class Devices:
    """Logins by device code. `decision`: what happens to the code, as who logs in; a refresh token
    is good for one use, and one that comes twice ends the login, as at a provider that watches for
    stolen ones.
    """

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self.decision = "pending"
        self.lifetime_s = 300.0
        self.polls = 0
        self.refresh: dict[str, str] = {}  # token → whose; "" once it was used
        self.issued: list[str] = []
        self.codes: dict[str, tuple[str, str, str]] = {}  # code → who, challenge, where it went
        self._alone = threading.Lock()

    def answer(self, path: str, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        with self._alone:
            if path == "/device":
                where = f"{self._provider.issuer}/enter"
                code = {
                    "device_code": "the-device-code",
                    "user_code": USER_CODE,
                    "expires_in": 60,
                    "interval": 0.05,
                }
                return 200, code | {
                    "verification_uri": where,
                    "verification_uri_complete": f"{where}?code={USER_CODE}",
                }
            if path == "/revoke":
                self.refresh.pop(form["token"], None)
                return 200, {}
            if form["grant_type"] == "authorization_code":
                return self._of_code(form)
            if form["grant_type"] == "refresh_token":
                return self._renewed(form["refresh_token"])
            self.polls += 1
            if self.decision in ("pending", "slow_down"):
                return 400, {
                    "error": "authorization_pending" if self.decision == "pending" else "slow_down"
                }
            if self.decision in ("access_denied", "expired_token"):
                return 400, {"error": self.decision}
            assert (form["device_code"], form["client_id"]) == ("the-device-code", CLIENT)
            return self._tokens(self.decision)

    def _of_code(self, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        who, challenge, redirect = self.codes.pop(form["code"], ("", "", ""))
        proven = base64.urlsafe_b64encode(sha256(form["code_verifier"].encode()).digest())
        if (proven.decode().rstrip("="), form["redirect_uri"]) != (challenge, redirect):
            return 400, {"error": "invalid_grant"}
        assert form["client_id"] == CLIENT
        return self._tokens(who)

    def _renewed(self, refresh: str) -> tuple[int, dict[str, Any]]:
        who = self.refresh.get(refresh)
        if not who:
            self.refresh.clear()
            return 400, {"error": "invalid_grant"}
        self.refresh[refresh] = ""
        return self._tokens(who)

    def _tokens(self, who: str) -> tuple[int, dict[str, Any]]:
        refresh = f"refresh-{secrets.token_hex(16)}"
        self.refresh[refresh] = who
        access = self._provider.token(
            who, exp=int(time.time() + max(self.lifetime_s, 60)), jti=refresh
        )
        self.issued += [access, refresh]
        return 200, {
            "access_token": access,
            "refresh_token": refresh,
            "expires_in": self.lifetime_s,
            "token_type": "Bearer",
        }


class Provider:
    """`with Provider() as provider:` serves on loopback. `keys` are those it publishes, `away`
    makes it answer 503, `asked` counts.
    """

    def __init__(self) -> None:
        self.keys = [Key("first")]
        self.away = False
        self.asked: list[str] = []
        self.devices = Devices(self)
        provider = self

        class Handler(QuietHandler):
            def do_GET(self) -> None:
                provider.asked.append(self.path)
                found = {
                    "/.well-known/openid-configuration": provider.about,
                    "/keys": provider.key_set,
                }.get(self.path)
                self.answer(*((200, found()) if found else (404, {})))

            def do_POST(self) -> None:
                provider.asked.append(self.path)
                form = dict(
                    parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode())
                )
                self.answer(
                    *((503, {}) if provider.away else provider.devices.answer(self.path, form))
                )

            def answer(self, status: int, body: dict[str, Any]) -> None:
                self.send_response(503 if provider.away else status)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(json.dumps({} if provider.away else body).encode())

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, name="provider"
        )
        self.issuer = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Provider:
        self._thread.start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join(120)
        self._server.server_close()

    def about(self) -> dict[str, Any]:
        places = {
            "jwks_uri": "keys",
            "device_authorization_endpoint": "device",
            "authorization_endpoint": "authorize",
            "token_endpoint": "token",
            "revocation_endpoint": "revoke",
        }
        return {"issuer": self.issuer} | {
            name: f"{self.issuer}/{path}" for name, path in places.items()
        }

    def key_set(self) -> dict[str, Any]:
        return {"keys": [key.published for key in self.keys]}

    @property
    def fetches(self) -> int:
        """How often the keys were asked for."""
        return self.asked.count("/keys")

    def claims(self, subject: str = "ada", **more: Any) -> dict[str, Any]:
        """The claims of a good access token, as Keycloak writes them. A claim given as None is left
        out.
        """
        now = int(time.time())
        good = {
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": subject,
            "azp": CLIENT,
            "typ": "Bearer",
            "iat": now,
            "exp": now + 300,
        }
        return {
            name: value
            for name, value in (good | {"preferred_username": subject} | more).items()
            if value is not None
        }

    def token(
        self,
        subject: str = "ada",
        *,
        key: Key | None = None,
        header: dict[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        key = key or self.keys[0]
        headers = {"kid": key.kid, **(header or {})}
        return jwt.encode(
            self.claims(subject, **claims), key.private, algorithm=key.alg, headers=headers
        )
