"""OpenID Connect: an access token becomes its user, or is refused with a reason.

Knows no database and no route. Keys come only from the issuer's JWKS, by key id.
tests/security/test_tokens.py lists what is refused.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

import jwt
import structlog
import urllib3

from mecapy_backend.shared.settings import Settings
from mecapy_backend.store.people.users import Identity, Role
from mecapy_jupyter.wire import Json, JsonObject
from mecapy_jupyter.wire import json_fields as fields
from mecapy_jupyter.wire.json_fields import as_object

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
"""Public-key signatures only: with a shared secret (HS…), every verifier of a token could also
forge one.
"""

LEEWAY_S = 10.0
FRESH_S = 300.0
"""How long the issuer's keys are cached."""

COOLDOWN_S = 30.0
"""How often, at most, an unknown key id fetches them."""

_FIRST_TRY_S = 2.0  # while there are no keys, for instance when the issuer starts later
_TYPES = ("at+jwt", "application/at+jwt")  # RFC 9068, 2.1
_OF_GOOGLE = (
    ", as Google's access tokens are not: send a service account's identity token (gcloud auth "
    "print-identity-token --audiences=…) or an API token (mecapy token create)"
)
_OF_ID_TOKENS = {"nonce", "at_hash", "c_hash", "events"}  # and of logout tokens
_MOST = 200  # characters of a name that somebody else chose
_http = urllib3.PoolManager(timeout=urllib3.Timeout(5.0), retries=urllib3.Retry(1, redirect=0))
_log = structlog.get_logger()


class NotAccepted(Exception):
    """A token that is not accepted, with the reason, but never the token."""


class IssuerAway(Exception):
    """Its keys are unknown and cannot be fetched."""


class Issuer:
    """The issuer that this gateway trusts."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keys = Keys(settings.oidc_issuer)

    async def person(self, token: str) -> Identity:
        """Raises NotAccepted, or IssuerAway."""
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            more = _OF_GOOGLE if token.startswith("ya29.") else ""
            raise NotAccepted(f"it is not a JSON Web Token{more}") from None
        if header.get("alg") not in ALGORITHMS:
            raise NotAccepted("its algorithm is none of " + ", ".join(ALGORITHMS))
        if "crit" in header:
            raise NotAccepted("its header demands an extension (crit)")
        if not header.get("kid"):
            raise NotAccepted("its header names no key (kid)")
        key = await self._keys.of(header["kid"])
        if key is None:
            raise NotAccepted("it is signed with a key that its issuer does not publish")
        return _person(self._settings, self._checked(token, header, key))

    def _checked(self, token: str, header: JsonObject, published: JsonObject) -> JsonObject:
        settings = self._settings
        try:
            # Without its algorithm, PyJWT treats an RSA key as RS256 only.
            key = jwt.PyJWK(published, fields.text(published, "alg") or fields.text(header, "alg"))
            claims: JsonObject = jwt.decode(
                token,
                key,
                ALGORITHMS,
                audience=settings.oidc_audience,
                issuer=settings.oidc_issuer,
                leeway=LEEWAY_S,
                options={
                    "require": ["iss", "aud", "sub", "exp", "iat"],
                    "enforce_minimum_key_length": True,
                },
            )
        except jwt.PyJWTError as wrong:
            raise NotAccepted(str(wrong)) from None
        if not _is_access_token(header, claims):
            raise NotAccepted("it is no access token (an ID or refresh token, perhaps)")
        if _client(claims) not in settings.oidc_clients:
            raise NotAccepted("it was issued to a client that is not one of MECAPY_OIDC_CLIENTS")
        expires_s, issued_s = fields.number(claims, "exp"), fields.number(claims, "iat")
        if expires_s is None or issued_s is None:
            raise NotAccepted("its times (exp, iat) are not numbers")
        if expires_s - issued_s > settings.oidc_max_lifetime_s:
            raise NotAccepted(f"it lives longer than {settings.oidc_max_lifetime_s:g} s")
        if not fields.text(claims, "sub"):
            raise NotAccepted("its subject is empty")
        # PostgreSQL stores neither NUL nor half a surrogate pair
        if not fields.text(claims, "sub").isprintable():
            raise NotAccepted("its subject has characters that are not allowed")
        return claims


def _is_access_token(header: JsonObject, claims: JsonObject) -> bool:
    """Whether it is an access token: its type says so, if it has one.

    Entra ID, Auth0's own profile and Okta send none: there an access token either is not for the
    client that it was issued to, as an ID token always is (OpenID Connect Core, 2), or it names
    scopes, which an ID token does not.
    """
    typ = str(header.get("typ") or "JWT").lower()
    if typ in _TYPES or (typ == "jwt" and claims.get("typ") == "Bearer"):
        return True
    if typ != "jwt" or "typ" in claims or not _OF_ID_TOKENS.isdisjoint(claims):
        return False
    scoped = bool(claims.get("scp") or claims.get("scope"))
    return scoped or _client(claims) not in _texts(claims.get("aud"))


def _client(claims: JsonObject) -> Json:
    """The client: `azp` (OpenID Connect), `client_id` (RFC 9068), `appid` (Entra ID, version 1),
    `cid` (Okta).
    """
    named = [claims[name] for name in ("azp", "client_id", "appid", "cid") if name in claims]
    return named[0] if named else None


class Keys:
    """The issuer's public keys by id, kept while it is unavailable."""

    def __init__(self, issuer: str) -> None:
        self._issuer = issuer
        self._known: dict[str, JsonObject] = {}
        self._tried_s = self._fetched_s = -1e9
        self._alone = asyncio.Lock()

    async def of(self, kid: str) -> JsonObject | None:
        """None: the issuer has no such key. Raises IssuerAway while no keys are known."""
        if not self._enough(kid):
            async with self._alone:  # others wait for the same answer
                pause_s = COOLDOWN_S if self._known else _FIRST_TRY_S
                if not self._enough(kid) and time.monotonic() - self._tried_s >= pause_s:
                    await self._ask()
        if not self._known:
            raise IssuerAway(self._issuer)
        return self._known.get(kid)

    def _enough(self, kid: str) -> bool:
        return kid in self._known and time.monotonic() - self._fetched_s < FRESH_S

    async def _ask(self) -> None:
        self._tried_s = time.monotonic()
        try:
            self._known = await asyncio.to_thread(_fetched, self._issuer)
            self._fetched_s = self._tried_s
            _log.info("issuer's keys", issuer=self._issuer, keys=len(self._known))
        except (
            urllib3.exceptions.HTTPError,
            ValueError,
            TypeError,
            KeyError,
            AttributeError,
        ) as wrong:
            _log.warning(
                "issuer away",
                issuer=self._issuer,
                error=f"{type(wrong).__name__}: {wrong}",
                keys_kept=len(self._known),
            )


def post_form(url: str, form: dict[str, str]) -> JsonObject:
    """An answer of the provider's, also that of a refusal. Blocks."""
    return as_object(_http.request("POST", url, fields=form, encode_multipart=False).json())


def described(issuer: str) -> JsonObject:
    """The issuer's description of itself (OpenID Connect Discovery). Blocks."""
    about = _http.request("GET", issuer.rstrip("/") + "/.well-known/openid-configuration").json()
    if about["issuer"] != issuer:
        raise ValueError(
            "MECAPY_OIDC_ISSUER differs from the name in the issuer's own document: "
            f"{about['issuer']!r}"
        )
    return about


def _fetched(issuer: str) -> dict[str, JsonObject]:
    about = described(issuer)
    keys = _http.request("GET", fields.text(about, "jwks_uri")).json()["keys"]
    fit = [
        key
        for key in keys
        if key.get("kid") and key.get("use", "sig") == "sig" and key.get("kty") in ("RSA", "EC")
    ]
    return {key["kid"]: key for key in fit}


def _person(settings: Settings, claims: JsonObject) -> Identity:
    roles = {role for path in settings.oidc_roles_claim for role in _texts(_found(claims, path))}
    organisations = [
        name for path in settings.oidc_organisation_claim for name in _texts(_found(claims, path))
    ]
    role: Role = (
        "admin"
        if settings.oidc_admin_role in roles
        else "manager"
        if settings.oidc_manager_role in roles
        else "user"
    )
    name = claims.get("preferred_username") or claims.get("name") or ""
    organisation = _organisation(organisations)
    expires_s = (fields.number(claims, "exp") or 0.0) + LEEWAY_S
    return Identity(
        fields.text(claims, "iss"),
        fields.text(claims, "sub"),
        _tidy(name),
        _tidy(claims.get("email")),
        organisation,
        role,
        expires_s,
    )


def _organisation(names: Iterable[str]) -> str | None:
    """The first one; of a group's path (`/acme/engineers`), its first part."""
    for name in names:
        if top := _tidy(name.strip("/").partition("/")[0]):
            return top
    return None


def _found(claims: JsonObject, path: str) -> Json:
    """`realm_access.roles` is the claim `roles` inside `realm_access`."""
    found: Json = claims
    for part in path.split("."):
        found = as_object(found).get(part)
    return found


def _texts(value: Json) -> list[str]:
    """A claim may be one text, a list of them, or an object whose keys they are (Keycloak's
    organisations with their attributes).
    """
    if isinstance(value, str):
        return [value]
    several = list(value) if isinstance(value, list | dict) else []
    return [one for one in several if isinstance(one, str)]


def _tidy(text: Json) -> str:
    return (
        "".join(c for c in text if c.isprintable())[:_MOST].strip() if isinstance(text, str) else ""
    )
