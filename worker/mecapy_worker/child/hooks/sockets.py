"""The network as a task sees it. Installed in the zygote, before anything that may import
`socket`'s functions by name.

Without allowed hosts (`MECAPY_EGRESS`), refusals get an explanation. With them, `connect` and
`getaddrinfo` of Python's `socket` ask the worker's egress broker, so that urllib, http.client, ssl,
requests and asyncio work unchanged. This is convenience and not confinement: seccomp stops whatever
bypasses it.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import time
from collections.abc import Callable
from typing import Any

from mecapy_worker.shared.egress_messages import EgressAnswer, EgressQuestion

_ANSWER_BYTES = 65536
_CONNECTING, _CLOSED = 2, 7  # of a socket's state, as TCP_INFO has it
_KEPT = [(socket.SOL_SOCKET, socket.SO_KEEPALIVE)] + [
    (socket.IPPROTO_TCP, getattr(socket, name))
    for name in ("TCP_NODELAY", "TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT", "TCP_USER_TIMEOUT")
    if hasattr(socket, name)
]
"""Options of an unconnected socket that are copied to the connected one."""

_NO_NETWORK = (
    "a task has no network here. Bring the data in as variables or with `--files`, or "
    "ask the operator to allow the host (MECAPY_EGRESS)"
)

_make: Callable[..., None] = socket.socket.__init__
_resolve: Callable[..., Any] = socket.getaddrinfo
_connect: Callable[..., None] = socket.socket.connect
_connect_ex: Callable[..., int] = socket.socket.connect_ex

egress_socket: socket.socket | None = None
"""This task's; set after the fork."""


def install(*, allowed: bool) -> None:
    """`allowed`: children will have an egress socket."""
    module: Any = socket
    if allowed:
        module.getaddrinfo, module.gethostbyname = getaddrinfo, gethostbyname
        module.socket.connect, module.socket.connect_ex = connect, connect_ex
    else:
        module.getaddrinfo, module.socket.__init__ = _no_names, _no_sockets


def _no_sockets(self: socket.socket, *arguments: Any, **named: Any) -> None:
    try:
        _make(self, *arguments, **named)
    except PermissionError as refused:
        raise PermissionError(refused.errno, f"no socket can be opened: {_NO_NETWORK}") from None


def _no_names(
    host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
) -> list[Any]:
    try:
        return _resolve(host, port, family, type, proto, flags)
    except socket.gaierror as unknown:
        if flags & socket.AI_NUMERICHOST or unknown.errno not in (
            socket.EAI_NONAME,
            socket.EAI_AGAIN,
            socket.EAI_FAIL,
        ):
            raise
        raise socket.gaierror(
            unknown.errno, f"{host}:{port} cannot be reached: {_NO_NETWORK}"
        ) from None


def getaddrinfo(
    host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
) -> list[Any]:
    """Works as in the notebook; the worker resolves allowed names."""
    try:
        return _resolve(host, port, family, type, proto, flags | socket.AI_NUMERICHOST)
    except socket.gaierror as unknown:
        if unknown.errno != socket.EAI_NONAME or flags & socket.AI_NUMERICHOST:
            raise
    text = host.decode("ascii") if isinstance(host, (bytes, bytearray)) else str(host)
    number = 0 if port is None else _resolve(None, port, 0, socket.SOCK_STREAM)[0][4][1]
    found: list[Any] = []
    answer, _ = _asked(EgressQuestion("resolve", text, number))
    for address in answer.addresses:
        try:
            found += _resolve(address, port, family, type, proto, flags | socket.AI_NUMERICHOST)
        except socket.gaierror as other:  # of a family that was not requested
            if other.errno not in (socket.EAI_ADDRFAMILY, socket.EAI_NONAME, socket.EAI_FAMILY):
                raise
    if not found:
        raise socket.gaierror(socket.EAI_NONAME, f"{text} has no address of that family")
    return found


def gethostbyname(hostname: str) -> str:
    return getaddrinfo(hostname, None, socket.AF_INET, socket.SOCK_STREAM)[0][4][0]


def connect(self: socket.socket, address: Any) -> None:
    """Works as in the notebook, with the socket's own timeout."""
    if self.family not in (socket.AF_INET, socket.AF_INET6):
        return _connect(self, address)
    timeout_s = self.gettimeout()
    until = time.monotonic() + timeout_s if timeout_s else None
    _take_the_place_of(self, _connected(self, address, until))
    if timeout_s == 0:
        raise BlockingIOError(errno.EINPROGRESS, os.strerror(errno.EINPROGRESS))
    waiting = select.poll()
    waiting.register(self, select.POLLOUT)
    if not waiting.poll(None if until is None else max(0.0, until - time.monotonic()) * 1000):
        raise TimeoutError("timed out")
    if number := self.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise OSError(number, os.strerror(number))


def connect_ex(self: socket.socket, address: Any) -> int:
    if self.family not in (socket.AF_INET, socket.AF_INET6):
        return _connect_ex(self, address)
    try:
        connect(self, address)
    except TimeoutError:
        return errno.EAGAIN
    except socket.gaierror:
        raise
    except OSError as error:
        return error.errno or errno.EACCES
    return 0


def _connected(self: socket.socket, address: Any, until: float | None) -> int:
    host, port = address[:2]
    if (state := self.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 1)[0]) != _CLOSED:
        number = errno.EALREADY if state == _CONNECTING else errno.EISCONN
        raise OSError(number, os.strerror(number))
    if not isinstance(port, int):
        raise TypeError(f"a port is a number, not {type(port).__name__}")
    host = getaddrinfo(host, port, self.family, socket.SOCK_STREAM)[0][4][0]
    _, (fd,) = _asked(EgressQuestion("connect", host, port), until)
    return fd


def _take_the_place_of(self: socket.socket, fd: int) -> None:
    """Puts the connected socket in the place of the original, with its options."""
    with socket.socket(fileno=fd) as new:
        for level, option in _KEPT:
            value = self.getsockopt(level, option)
            if value != new.getsockopt(level, option):
                new.setsockopt(level, option, value)
        os.dup2(fd, self.fileno(), inheritable=self.get_inheritable())
    # Blocking mode belongs to the connection and not to the number.
    self.settimeout(self.gettimeout())


def _asked(question: EgressQuestion, until: float | None = None) -> tuple[EgressAnswer, list[int]]:
    """The worker's answer and socket; OSError with the reason if it refuses."""
    assert egress_socket, "only a child has one"
    answers, broker_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with answers:
        if until is not None:
            answers.settimeout(max(0.001, until - time.monotonic()))
        with broker_end:
            socket.send_fds(egress_socket, [question.encode()], [broker_end.fileno()])
        data, fds, _, _ = socket.recv_fds(
            answers, _ANSWER_BYTES, 1, getattr(socket, "MSG_CMSG_CLOEXEC", 0)
        )
    if not data:
        raise ConnectionResetError(
            errno.ECONNRESET, "the worker did not answer: it or the task is about to end"
        )
    answer = EgressAnswer.read(data)
    if answer.refusal:
        kind = socket.gaierror if answer.refusal == "name" else OSError
        raise kind(answer.errno, answer.text)
    return answer, fds
