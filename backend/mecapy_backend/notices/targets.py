"""The recipients that a task may name (`notify`): `mail`, the operator's `webhook`, or a URL."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from mecapy_backend.shared.settings import Settings

MAIL, WEBHOOK = "mail", "webhook"


def refusal(targets: Sequence[str], settings: Settings, email: str) -> str:
    """Why this gateway cannot notify one of them; empty if it can."""
    return next(filter(None, (_refused(each, settings, email) for each in targets)), "")


def _refused(target: str, settings: Settings, email: str) -> str:
    if target == MAIL:
        if not settings.smtp_url.get_secret_value():
            return "this gateway sends no mail; its operator sets MECAPY_SMTP_URL"
        return "" if email else "the gateway knows no mail address of yours; use a webhook"
    if not settings.notify_secret.get_secret_value():
        return "this gateway sends no webhooks; its operator sets MECAPY_NOTIFY_SECRET"
    if target == WEBHOOK:
        return "" if settings.notify_url else "the operator has set no MECAPY_NOTIFY_URL"
    return address_refusal(target, settings)


def address_refusal(url: str, settings: Settings) -> str:
    """What can be said of a URL without asking for its address."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if not host or not url.isascii() or not url.isprintable() or " " in url:
        return f"{url[:80]!r} is no address; write `mail`, `webhook` or https://host/path"
    if parts.username or parts.password:
        return "an address with a password in it is not kept; use one with a secret path"
    if parts.scheme == "https" or is_allowed(host, port or 80, settings):
        return "" if parts.scheme in ("https", "http") else f"{url[:80]!r} is not https"
    return f"{url[:80]!r} is not https"


def is_allowed(host: str, port: int, settings: Settings) -> bool:
    """Whether the operator lists it: it is reached wherever it is, and without TLS."""
    return f"{host}:{port}" in settings.notify_hosts
