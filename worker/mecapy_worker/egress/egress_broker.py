"""The network access of a task: the child asks, the worker checks, connects, and sends the
connected socket.

Each child has one egress socket, a unix socket. A message on it is a question with a socket for the
answer, so that threads and forks of the task can ask in parallel. A child cannot connect by itself
(seccomp, Landlock), so what was checked is what is reached.
"""

from __future__ import annotations

import array
import asyncio
import errno
import os
import socket
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, suppress

from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.store import tasks
from mecapy_worker.egress.connections import EgressRefused, TaskConnections
from mecapy_worker.egress.rules import Egress
from mecapy_worker.pool.pool import ChildHandle
from mecapy_worker.shared.channel import descriptors, ready
from mecapy_worker.shared.egress_messages import EgressAnswer, EgressQuestion

# Questions of one task: at the same time; seconds between two, after a burst of a hundred.
_AT_ONCE, _PACE_S, _BURST_S = 16, 0.005, 0.5
_ASKED_BYTES = 4096
_NOT_UNDERSTOOD = EgressAnswer(
    refusal="network", errno=errno.EINVAL, text="the worker did not understand the question"
)


@asynccontextmanager
async def opened(
    db: AsyncEngine, allowed: Egress, started: tasks.StartedAttempt, child: ChildHandle
) -> AsyncGenerator[None]:
    """The task may ask inside the block. Without allowed hosts there is no egress socket."""
    if child.egress_socket is None:
        yield
        return
    connections = TaskConnections(db, allowed, started)
    try:
        async with asyncio.TaskGroup() as group:
            serving = group.create_task(EgressBroker(child.egress_socket, connections).serve())
            try:
                yield
            finally:
                serving.cancel()
    finally:
        connections.close()


class EgressBroker:
    """The worker's end, for one task. All input is untrusted."""

    def __init__(self, sock: socket.socket, connections: TaskConnections) -> None:
        self._sock, self._connections = sock, connections
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def serve(self) -> None:
        """Until the child has closed its end."""
        clock, due_s = asyncio.get_running_loop().time, 0.0
        async with asyncio.TaskGroup() as group:
            while True:
                await self._room.acquire()
                heard = await self._hear()
                if heard is None:
                    return
                self._answer_beside(group, *heard)
                due_s = max(due_s, clock() - _BURST_S) + _PACE_S
                if (early_s := due_s - clock()) > 0:
                    await asyncio.sleep(early_s)

    async def _hear(self) -> tuple[bytes, socket.socket | None] | None:
        while True:
            try:
                data, ancillary, _, _ = self._sock.recvmsg(
                    _ASKED_BYTES, socket.CMSG_LEN(4), socket.MSG_DONTWAIT | socket.MSG_CMSG_CLOEXEC
                )
            except BlockingIOError:
                await ready(self._sock.fileno())
                continue
            except ConnectionResetError:
                return None
            reply = _reply(ancillary)
            if data:
                return data, reply
            if reply:
                reply.close()
            return None

    def _answer_beside(
        self, group: asyncio.TaskGroup, data: bytes, reply: socket.socket | None
    ) -> None:
        if reply is None:
            return self._room.release()
        answering = group.create_task(self._answer(data, reply))
        answering.add_done_callback(lambda _: (reply.close(), self._room.release()))

    async def _answer(self, data: bytes, reply: socket.socket) -> None:
        answer, connected = EgressAnswer(), None
        try:
            match EgressQuestion.read(data):
                case EgressQuestion("resolve", host, port):
                    answer = EgressAnswer(await self._connections.names(host, port))
                case EgressQuestion("connect", host, port):
                    connected = await self._connections.connect(host, port)
                case _:
                    answer = _NOT_UNDERSTOOD
        except EgressRefused as refused:
            answer = refused.answer
        beside = (
            [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [connected.fileno()]))]
            if connected
            else []
        )
        with suppress(OSError):  # the asker is gone; never wait for one that does not read
            reply.sendmsg([answer.encode()], beside, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        if connected:
            connected.close()


def _reply(ancillary: Sequence[tuple[int, int, bytes]]) -> socket.socket | None:
    """The descriptor that came along, if an answer can be sent to it."""
    reply = None
    for fd in descriptors(ancillary):
        try:
            sock = socket.socket(fileno=fd)
        except OSError:  # no socket
            os.close(fd)
            continue
        if reply is None and sock.family == socket.AF_UNIX:
            reply = sock
        else:
            sock.close()
    return reply
