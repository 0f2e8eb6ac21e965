"""A small world beside this machine's: a worker's network and, a cable away, another with servers
and a name server. All real.

Two network namespaces and the pair of interfaces between them; nothing of the machine's own network
is touched. The servers run in this process, on sockets that were made over there. Only root can
build it.
"""

from __future__ import annotations

import contextlib
import ctypes
import http.server
import os
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

WORKER, SERVERS, OTHER = "10.77.0.1", "10.77.0.2", "10.77.0.3"
SIX, METADATA, NOBODY_THERE = "fd77::2", "169.254.169.254", "10.77.0.99"
HTTP, TLS, CLOSED, POSTGRES, REDIS = 8080, 8443, 8082, 5432, 6379
_NEW_NET = 0x40000000


class Room:
    """A network namespace, kept by a process that sleeps in it."""

    def __init__(self) -> None:
        self.keeper = subprocess.Popen(["unshare", "--net", "sleep", "900"])
        ours, until = Path("/proc/self/ns/net").readlink(), time.monotonic() + 120
        while Path(f"/proc/{self.keeper.pid}/ns/net").readlink() == ours:
            assert self.keeper.poll() is None and time.monotonic() < until, "no network namespace"
            time.sleep(0.01)

    def ip(self, *lines: str) -> None:
        for line in lines:
            subprocess.run(
                ["nsenter", "-t", str(self.keeper.pid), "-n", "ip", *line.split()], check=True
            )

    def sockets(self, make: Callable[[], Any]) -> Any:
        """What `make` makes, in there."""
        made = list[Any]()

        def enter() -> None:  # a thread of its own, which ends in there
            with Path(f"/proc/{self.keeper.pid}/ns/net").open() as place:
                assert ctypes.CDLL(None, use_errno=True).setns(place.fileno(), _NEW_NET) == 0
            made.append(make())

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        return made[0]

    def listening(self, host: str, port: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return self.sockets(lambda: socket.create_server((host, port), family=family, backlog=256))

    def close(self) -> None:
        self.keeper.kill()
        self.keeper.wait()


@dataclass
class Outside:
    """`names`: what the name server answers, from one question to the next; the last answer stays.
    `asked`: which names it was asked.
    """

    inside: Room
    servers: Room
    folder: Path
    authority: str = ""  # a certificate, PEM
    names: dict[str, list[Sequence[str]]] = field(default_factory=dict[str, list[Sequence[str]]])
    asked: list[str] = field(default_factory=list[str])
    served: list[str] = field(default_factory=list[str])
    open: set[Any] = field(default_factory=set[Any])
    _stack: ExitStack = field(default_factory=ExitStack)

    @property
    def launcher(self) -> tuple[str, ...]:
        """Starts a program inside, with a /etc/resolv.conf that names our name server."""
        script = f'mount --bind {self.folder}/resolv.conf /etc/resolv.conf && exec "$@"'
        return (
            "nsenter",
            "-t",
            str(self.inside.keeper.pid),
            "-n",
            "unshare",
            "--mount",
            "sh",
            "-c",
            script,
            "sh",
        )

    def serve(self, listening: socket.socket, context: ssl.SSLContext | None = None) -> None:
        """HTTP: each answer says who answered. Ends with the world."""
        outside, me = self, listening.getsockname()[0]

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                outside.served.append(f"{me} {self.path}")
                body = f"answer of {me}".encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def setup(self) -> None:
                super().setup()
                outside.open.add(self.connection)

            def finish(self) -> None:
                outside.open.discard(self.connection)
                with contextlib.suppress(OSError):
                    super().finish()

            def log_message(self, format: str, *args: Any) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("", 0), Handler, bind_and_activate=False)
        server.socket.close()
        server.socket = context.wrap_socket(listening, server_side=True) if context else listening
        server.handle_error = lambda request, client_address: None
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        self._stack.callback(server.server_close)
        self._stack.callback(server.shutdown)

    def answer_names(self) -> None:
        """A name server, until the world ends."""
        sock: socket.socket = self.servers.sockets(
            lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        )
        sock.bind((SERVERS, 53))
        sock.settimeout(0.1)
        over = threading.Event()

        def run() -> None:
            while not over.is_set():
                with contextlib.suppress(TimeoutError):
                    question, client = sock.recvfrom(4096)
                    if (answer := self._answer(question)) is not None:
                        sock.sendto(answer, client)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        self._stack.callback(sock.close)
        self._stack.callback(thread.join)
        self._stack.callback(over.set)

    def _answer(self, question: bytes) -> bytes | None:
        """None: silence. Of two questions for a name, IPv4 and IPv6, the first moves on to the next
        answer.
        """
        labels, at = list[str](), 12
        while length := question[at]:
            labels.append(question[at + 1 : at + 1 + length].decode())
            at += 1 + length
        name, kind = ".".join(labels), struct.unpack("!H", question[at + 1 : at + 3])[0]
        answers = self.names.get(name)
        if kind == 1:
            self.asked.append(name)
        if answers == []:
            return None
        addresses = [ip_address(text).packed for text in answers[0]] if answers else []
        if kind == 1 and answers and len(answers) > 1:
            answers.pop(0)
        fitting = [packed for packed in addresses if len(packed) == (4 if kind == 1 else 16)]
        head = question[:2] + struct.pack(
            "!HHHHH", 0x8180 if answers else 0x8183, 1, len(fitting), 0, 0
        )
        entries = [
            struct.pack("!HHHIH", 0xC00C, kind, 1, 0, len(packed)) + packed for packed in fitting
        ]
        return head + question[12 : at + 5] + b"".join(entries)

    def close(self) -> None:
        self._stack.close()


@contextmanager
def outside(folder: Path) -> Iterator[Outside]:
    """The world, for as long as the block lasts."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "nsenter", "unshare"))):
        pytest.skip("only root can make a network of its own, with ip, nsenter and unshare")
    with ExitStack() as stack:
        inside = Room()
        stack.callback(inside.close)
        servers = Room()
        stack.callback(servers.close)
        inside.ip(
            "link set lo up", f"link add cable type veth peer name cable netns {servers.keeper.pid}"
        )
        inside.ip(
            f"addr add {WORKER}/24 dev cable",
            "addr add fd77::1/64 dev cable nodad",
            "link set cable up",
        )
        servers.ip(
            "link set lo up", f"addr add {SERVERS}/24 dev cable", f"addr add {OTHER}/24 dev cable"
        )
        servers.ip(
            f"addr add {SIX}/64 dev cable nodad",
            f"addr add {METADATA}/32 dev cable",
            "link set cable up",
        )
        inside.ip(f"route add {METADATA} via {SERVERS}")
        (folder / "resolv.conf").write_text(f"nameserver {SERVERS}\noptions timeout:1 attempts:1\n")
        here = Outside(inside, servers, folder)
        stack.callback(here.close)
        for host, port in (
            (SERVERS, HTTP),
            (OTHER, HTTP),
            (SIX, HTTP),
            (METADATA, 80),
            (SERVERS, CLOSED),
        ):
            here.serve(servers.listening(host, port))
        for host in ("127.0.0.1", WORKER):
            here.serve(inside.listening(host, HTTP))
        here.authority, context = certified("secure.example.org", folder)
        here.serve(servers.listening(SERVERS, TLS), context)
        here.answer_names()
        yield here


def certified(name: str, folder: Path, days: float = 2) -> tuple[str, ssl.SSLContext]:
    """A certificate of its own for that name, and a server's context with it. `days` until it
    ends; negative: it has ended.
    """
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
    )
    made = made.serial_number(x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=9)).not_valid_after(
        now + timedelta(days=days)
    )
    made = made.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    pem = made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "tls.pem").write_bytes(pem + secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.pem")
    return pem.decode(), context
