"""Posts a webhook, signed as standardwebhooks.com has it. A user's URL leads to public addresses
alone: the name is looked up once, every address is checked, and that address is connected to, so
that a name that changes its mind, or a redirect, leads nowhere else. Blocks.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import ipaddress
import socket
import time
from urllib.parse import urlsplit

import urllib3

from mecapy_backend.notices.targets import is_allowed
from mecapy_backend.shared.settings import Settings

WITHIN_S = 8.0


class NotPublic(Exception):
    """It leads to where no webhook of a user may go."""


def key_of(secret: str, owner: str) -> bytes:
    """What signs the webhooks of one user's tasks."""
    return hmac.new(secret.encode(), f"webhook {owner}".encode(), hashlib.sha256).digest()


def shown_key(secret: str, owner: str) -> str:
    """The key as libraries for such webhooks expect it; empty without a secret."""
    return "whsec_" + base64.b64encode(key_of(secret, owner)).decode() if secret else ""


def headers(key: bytes, message_id: str, at_s: int, body: bytes) -> dict[str, str]:
    signed = f"{message_id}.{at_s}.".encode() + body
    signature = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {
        "Content-Type": "application/json",
        "User-Agent": "MecaPy",
        "webhook-id": message_id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": f"v1,{signature}",
    }


def post(url: str, body: bytes, key: bytes, message_id: str, settings: Settings) -> int:
    """The answer's status. Raises NotPublic, OSError or urllib3's HTTPError."""
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
    trusted = url == settings.notify_url or is_allowed(host, port, settings)
    address = _address(host, port, trusted=trusted)
    timeout = urllib3.Timeout(total=WITHIN_S)
    if parts.scheme == "https":
        pool = urllib3.HTTPSConnectionPool(
            address, port, timeout=timeout, server_hostname=host, assert_hostname=host
        )
    else:
        pool = urllib3.HTTPConnectionPool(address, port, timeout=timeout)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    sent = headers(key, message_id, int(time.time()), body) | {"Host": parts.netloc}
    with pool:
        answer = pool.urlopen(
            "POST", path, body, sent, retries=False, redirect=False, preload_content=False
        )
        status = answer.status
        answer.close()  # unread: how long it is, is the other side's affair
        return status


def _address(host: str, port: int, *, trusted: bool) -> str:
    found = {str(each[4][0]) for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    private = sorted(each for each in found if not _is_public(each))
    if private and not trusted:
        raise NotPublic(f"{host} leads to {private[0]}, which is not public")
    return min(found, key=lambda each: ":" in each)  # IPv4 where there is one


def _is_public(text: str) -> bool:
    """Not this machine, a private network, a metadata service, or one of those behind IPv6."""
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inside = address.ipv4_mapped or address.sixtofour
        if inside is not None:
            return inside.is_global
        if address in _NAT64 or address.teredo is not None:
            return False
    return address.is_global and not address.is_multicast and address not in _METADATA


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_METADATA = {ipaddress.ip_address(each) for each in ("168.63.129.16", "192.0.0.192")}
"""Public by their numbers: services of Azure and Oracle for machines in them."""
