"""The network of one task: resolves names and starts connections, each checked, counted, recorded
and logged. All requests come from the child and are untrusted.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.store import tasks
from mecapy_worker import metrics
from mecapy_worker.egress import rules
from mecapy_worker.egress.rules import Address
from mecapy_worker.log import log
from mecapy_worker.retry import retry_transient
from mecapy_worker.shared.egress_messages import EgressAnswer, Refusal

MOST_OPEN = 100
"""Connections of one task at a time."""
NAME_S = 10.0
"""How long resolving a name may take."""
_MOST_ADDRESSES, _MOST_GRANTED = 32, 10_000
_KERNEL_HAS = ("/proc/self/net/tcp", "/proc/self/net/tcp6")  # the second with IPv6


class EgressRefused(Exception):
    """The request is refused."""

    def __init__(self, text: str, kind: Refusal = "network", number: int = errno.EACCES) -> None:
        super().__init__(text)
        self.answer = EgressAnswer(refusal=kind, errno=number, text=text)


class TaskConnections:
    """The connections of one attempt. `close` it afterwards."""

    def __init__(
        self, db: AsyncEngine, allowed: rules.Egress, started: tasks.StartedAttempt
    ) -> None:
        self._db, self._allowed, self._started = db, allowed, started
        # addresses of resolved names, with the name
        self._granted: dict[tuple[Address, int], str] = {}
        self._open = set[int]()  # sockets by inode
        self._refused = set[str]()
        self._noted, self._noting = False, asyncio.Lock()
        self._threads = ThreadPoolExecutor(2, "names")  # its own: slow names delay nobody else

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def names(self, host: str, port: int) -> tuple[str, ...]:
        """The addresses of an allowed name. From now on the task may connect to these, and to no
        later ones.
        """
        name = rules.name(host)
        where = f"{host[:300]}:{port}" if port else host[:300]
        ports = self._allowed.ports(name) if name else set[int]()
        if not ports or (port and port not in ports):
            raise self._no(where, self._allowed.refusal(where))
        found = await self._resolved(name)
        fit = [one for one in found if not rules.unfit(one)]
        if found and not fit:
            why = f"the name leads to {found[0]}, {rules.unfit(found[0])}"
            raise self._no(where, f"{where} may not be reached from a task: {why}.")
        if len(self._granted) > _MOST_GRANTED:
            self._granted.clear()
        self._granted |= {(one, at): name for one in fit for at in ports}
        return tuple(map(str, fit))

    async def _resolved(self, name: str) -> list[Address]:
        looking = asyncio.get_running_loop().run_in_executor(
            self._threads, socket.getaddrinfo, name, None, 0, socket.SOCK_STREAM
        )
        try:
            async with asyncio.timeout(NAME_S):
                found = await looking
        except TimeoutError:
            raise EgressRefused(
                f"{name} was not resolved within {NAME_S:g} s", "name", socket.EAI_AGAIN
            ) from None
        except (OSError, ValueError) as error:
            number = (
                error.errno
                if isinstance(error, socket.gaierror) and error.errno
                else socket.EAI_FAIL
            )
            raise EgressRefused(
                f"{name} is not known to the worker ({error})", "name", number
            ) from None
        addresses = dict.fromkeys(rules.address(str(entry[4][0])) for entry in found)
        return [one for one in addresses if one is not None][:_MOST_ADDRESSES]

    async def connect(self, host: str, port: int) -> socket.socket:
        """A connecting socket. The child waits for the connection itself."""
        address = rules.address(host)
        where = f"{host[:300]}:{port}"
        if address is None or not 0 < port < 65536:
            raise self._no(where, f"{where} is no address")
        name = self._granted.get((address, port), "")
        if not name and not self._allowed.literally(address, port):
            raise self._no(where, self._allowed.refusal(where))
        await self._spare_services(where, address, port)
        await self._make_room()
        await self._note()
        if len(self._open) >= MOST_OPEN:
            raise EgressRefused(
                f"this task has {MOST_OPEN} connections open, no more are allowed; close some "
                f"first",
                number=errno.EMFILE,
            )
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        self._open.add(os.fstat(sock.fileno()).st_ino)
        metrics.connections.labels("allowed").inc()
        log.info("connection", **self._task, host=name or host, address=str(address), port=port)
        if (number := sock.connect_ex((str(address), port))) not in (0, errno.EINPROGRESS):
            sock.close()
            raise EgressRefused(os.strerror(number), "system", number)
        return sock

    async def _spare_services(self, where: str, address: Address, port: int) -> None:
        for service in self._allowed.services:
            if service.port != port:
                continue
            try:
                addresses = await self._resolved(service.host)
            except EgressRefused as unknown:
                why = (
                    f"the worker cannot tell now whether it is this deployment's own "
                    f"{service.what} ({unknown})"
                )
                raise self._no(where, f"{where} may not be reached from a task: {why}.") from None
            if rules.same(address, addresses):
                raise self._no(
                    where,
                    f"{where} may not be reached from a task: it is this deployment's own "
                    f"{service.what}.",
                )

    async def _make_room(self) -> None:
        """Closed connections no longer count: Linux does not list them any more, or lists them
        without an owner.
        """
        if len(self._open) >= MOST_OPEN:
            before = self._open.copy()
            self._open -= before - await asyncio.get_running_loop().run_in_executor(
                self._threads, _still_open, before
            )

    async def _note(self) -> None:
        """Before anything is sent: record that this task has effects outside, so that it is not
        repeated automatically.
        """
        async with self._noting:
            if not self._noted:
                task_id, attempt = self._started.task_id, self._started.attempt
                self._noted = await retry_transient(
                    "network",
                    lambda: tasks.mark_network_used(self._db, task_id, attempt),
                    task=task_id,
                )
        if not self._noted:
            raise EgressRefused("the task was cancelled, or another worker has it")

    def _no(self, where: str, text: str) -> EgressRefused:
        metrics.connections.labels("refused").inc()
        if where not in self._refused and len(self._refused) < MOST_OPEN:
            self._refused.add(where)
            log.warning("connection refused", **self._task, host=where, why=text)
        return EgressRefused(text)

    @property
    def _task(self) -> dict[str, object]:
        return {"task": self._started.task_id, "attempt": self._started.attempt}


def _still_open(sockets: set[int]) -> set[int]:
    """The inodes among these that Linux lists as open TCP sockets; all of them if it lists none."""
    try:
        tables = [Path(table).read_text() for table in _KERNEL_HAS if Path(table).exists()]
    except OSError:
        return sockets
    open_inodes = {int(line.split()[9]) for table in tables for line in table.splitlines()[1:]}
    return sockets & open_inodes if tables else sockets
