"""Security headers of every answer, added by `traffic`.

The gateway uses bearer tokens and no cookies, so no page can act with a visitor's rights; other
origins only by MECAPY_CORS_ORIGINS (`app`).
"""

from __future__ import annotations

from collections.abc import Iterable

Header = tuple[bytes, bytes]

_ALWAYS: tuple[Header, ...] = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)
_NOTHING = b"default-src 'none'; frame-ancestors 'none'"
# The page /docs of FastAPI has an inline script beside those it loads from here.
_PAGE = (
    b"default-src 'none'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    b"img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
    b"form-action 'none'"
)


def more_headers(headers: Iterable[Header]) -> list[Header]:
    """The missing headers of an answer. A route's own ones stay."""
    has = {name.lower(): value for name, value in headers}
    page = has.get(b"content-type", b"").startswith(b"text/html")
    policy = (b"content-security-policy", _PAGE if page else _NOTHING)
    return [header for header in (*_ALWAYS, policy) if header[0] not in has]
