"""The allowed hosts and ports of tasks (`MECAPY_EGRESS`), and the addresses to which an allowed
name may lead. Decides and does not connect. A name may lead into a private network, like an
engineer's licence server, but never to this machine, a cloud's metadata, or services of the
deployment.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import urlsplit

from mecapy_backend.shared.settings import Settings
from mecapy_backend.store.database import driver_url

Address = IPv4Address | IPv6Address

_LABEL = "[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
# Not an address in an obsolete notation.
_NAME = re.compile(rf"({_LABEL}\.)*(?!([0-9]+|0x[0-9a-f]*)$){_LABEL}")
_SHOWN = 10
_METADATA = {
    # beside the link-local ones: Alibaba, Oracle, Azure; AWS, Google and Scaleway over IPv6
    *map(
        ipaddress.ip_address,
        (
            "100.100.100.200",
            "192.0.0.192",
            "168.63.129.16",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fd00:42::42",
        ),
    )
}
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class BadRule(ValueError):
    """An invalid entry of the list."""


@dataclass(frozen=True, slots=True)
class HostRule:
    """One entry. `host`: a name, `*.` and a name for all below it, or an address in usual form."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def names(self, name: str) -> bool:
        return name.endswith(self.host[1:]) if self.host.startswith("*.") else name == self.host


@dataclass(frozen=True, slots=True)
class Service:
    """A service of the deployment. No task reaches it, whatever the list says."""

    what: str
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Egress:
    rules: tuple[HostRule, ...] = ()
    services: tuple[Service, ...] = ()

    def ports(self, name: str) -> set[int]:
        """The ports of a name."""
        return {rule.port for rule in self.rules if rule.names(name)}

    def literally(self, address: Address, port: int) -> bool:
        """Whether the address itself is listed; then it is reached whatever it is."""
        return HostRule(str(address), port) in self.rules

    def refusal(self, where: str) -> str:
        """The message for a task that asked for something else."""
        shown = ", ".join(map(str, self.rules[:_SHOWN])) + (
            f" and {len(self.rules) - _SHOWN} more" if len(self.rules) > _SHOWN else ""
        )
        return (
            f"{where} may not be reached from a task: this deployment allows only {shown}. Ask "
            f"its operator, who sets MECAPY_EGRESS."
        )


def of(settings: Settings) -> Egress:
    """BadRule when the list cannot be read."""
    return Egress(
        tuple(map(host_rule, settings.egress)),
        tuple(_services(settings)) if settings.egress else (),
    )


def host_rule(entry: str, setting: str = "MECAPY_EGRESS") -> HostRule:
    """Raises BadRule."""
    host, _, port = entry.rpartition(":")
    if not re.fullmatch("[0-9]{1,5}", port) or not 0 < int(port) < 65536:
        raise _bad(setting, entry, "a port from 1 to 65535 must follow the host")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if (found := address(bare)) is not None:
        if found.version == 6 and bare == host:
            raise _bad(setting, entry, "an IPv6 address needs brackets")
        if found.is_unspecified or found.is_multicast or getattr(found, "scope_id", None):
            raise _bad(setting, entry, "that is not the address of one host")
        return HostRule(str(found), int(port))
    if not (written := name(host.removeprefix("*."))):
        raise _bad(setting, entry, "the host must be a name, `*.` before a name, or an address")
    return HostRule(f"*.{written}" if host.startswith("*.") else written, int(port))


def _bad(setting: str, entry: str, why: str) -> BadRule:
    return BadRule(
        f"{setting} has the entry {entry!r}: {why}. Entries look like "
        "data.example.org:443, *.example.com:443, 10.1.2.3:27000, [2001:db8::7]:443, "
        "with commas between."
    )


def name(text: str) -> str:
    """A host's name in its normal form: lower case, ASCII, no final dot. Empty if invalid."""
    try:
        written = text.encode("idna").decode().lower().removesuffix(".")
    except UnicodeError:
        return ""
    return written if len(written) < 254 and _NAME.fullmatch(written) else ""


def address(text: str) -> Address | None:
    """A literal address; an IPv4 address inside IPv6 becomes the IPv4 address."""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def _services(settings: Settings) -> Iterable[Service]:
    database = driver_url(settings.database_url)
    more = database.query.get("host") or ()
    for host in (database.host, *([more] if isinstance(more, str) else more)):
        if host and not host.startswith("/"):  # else the folder of a unix socket
            bare, _, port = host.partition(":")
            yield Service("PostgreSQL", bare, int(port or database.port or 5432))
    for what, url, port in (
        ("Redis", settings.redis_url, 6379),
        ("object store", settings.s3_endpoint_url, 0),
    ):
        parts = urlsplit(url)
        if parts.hostname:
            yield Service(
                what, parts.hostname, parts.port or port or (80 if parts.scheme == "http" else 443)
            )


def unfit(address: Address) -> str:
    """Why no name may lead there; empty if one may."""
    reached = _inside(address)
    if reached in _METADATA or reached.is_link_local:
        return "a link-local or metadata address"
    if reached.is_loopback or reached.is_unspecified or is_own(reached) or is_own(address):
        return "this machine itself; to allow that, the operator lists the address"
    if reached.is_multicast or (reached.is_reserved and reached.version == 4):
        return "no address of one host"
    return ""


def _inside(address: Address) -> Address:
    """The IPv4 address that a NAT64 gateway would use."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return (
        address.ipv4_mapped
        or address.sixtofour
        or (address.teredo[1] if address.teredo else address)
    )


def is_own(address: Address) -> bool:
    """Whether it belongs to this machine, which would then send from it. Sends nothing."""
    if address.is_loopback:
        return True
    try:
        with socket.socket(
            socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_DGRAM
        ) as sock:
            sock.connect((str(address), 9))
            return ipaddress.ip_address(sock.getsockname()[0]) == address
    except OSError:  # there is no route
        return False


def same(address: Address, service: Sequence[Address]) -> bool:
    """Whether a connection to `address` would end at a service that these are the addresses of."""
    return address in service or (is_own(address) and any(map(is_own, service)))
