"""The descriptors between a worker and one child: the channel of frames, stdout, stderr, and the
egress socket where the deployment allows hosts.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WorkerEnds:
    """`stdout` and `stderr` are read without blocking."""

    channel: socket.socket
    stdout: int
    stderr: int
    egress: socket.socket | None

    def close_output(self) -> None:
        os.close(self.stdout)
        os.close(self.stderr)
        if self.egress is not None:
            self.egress.close()


@dataclass(frozen=True, slots=True)
class ChildEnds:
    """`fds`: in the order in which a child expects them."""

    channel: socket.socket
    stdout: int
    stderr: int
    egress: socket.socket | None

    @property
    def fds(self) -> tuple[int, ...]:
        egress = (self.egress.fileno(),) if self.egress is not None else ()
        return (self.channel.fileno(), self.stdout, self.stderr, *egress)

    def close(self) -> None:
        self.channel.close()
        if self.egress is not None:
            self.egress.close()
        os.close(self.stdout)
        os.close(self.stderr)


def child_files(*, egress: bool) -> tuple[WorkerEnds, ChildEnds]:
    """Both ends of a new child's descriptors."""
    channel, child_channel = socket.socketpair()
    ask, child_ask = (
        socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) if egress else (None, None)
    )
    (stdout, child_stdout), (stderr, child_stderr) = os.pipe(), os.pipe()
    os.set_blocking(stdout, False)
    os.set_blocking(stderr, False)
    return (
        WorkerEnds(channel, stdout, stderr, ask),
        ChildEnds(child_channel, child_stdout, child_stderr, child_ask),
    )
