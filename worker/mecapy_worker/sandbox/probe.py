"""A child that attacks: a pool runs it once at its start, in the place of the child module, to find
out what the confinement is worth on this machine. Harmless if an attack succeeds: it reads one
file, sends signal 0, opens a socket.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

from mecapy_worker.shared import libc
from mecapy_worker.shared.channel import Channel
from mecapy_worker.shared.message_codec import read
from mecapy_worker.shared.messages import ProbeRequest, ProbeResult


def begin(*, warm: bool) -> None:
    """Nothing to set up."""


def serve(channel: Channel, outbox: str) -> None:
    frame = channel.receive()
    if frame is not None:
        channel.send(ProbeResult(tuple(succeeded(read(ProbeRequest, frame.header)))))


def succeeded(targets: ProbeRequest) -> list[str]:
    """The names of the attacks that were not stopped."""
    attacks: dict[str, Callable[[], object]] = {
        "unix_socket": lambda: socket.socket(socket.AF_UNIX).close(),
        "network": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close(),
        "read_outside": lambda: Path(targets.secret).read_bytes(),
        "write_outside": lambda: Path(targets.secret + ".new").open("x").close(),
        "change_outside": lambda: _change(targets.secret),
        "worker_environment": lambda: Path(f"/proc/{targets.worker_pid}/environ").read_bytes(),
        "signal_worker": lambda: libc.kill(targets.worker_pid, 0),
        "leave_group": _leave_group,
    }
    through = [name for name, attack in attacks.items() if not _stopped(attack)]
    return through + ["signal_worker_thread"] * any(
        not _stopped(lambda tid=tid: libc.kill(tid, 0)) for tid in targets.worker_threads
    )


def _change(path: str) -> None:
    os.utime(path, (1, 1))
    if os.stat(path).st_mtime != 1:  # noqa: PTH116 (as everything here: the call itself)
        raise PermissionError  # it was pretended


def _leave_group() -> None:
    group = os.getpgid(0)
    pid = os.fork()  # a group's leader cannot leave anyway
    if pid == 0:
        try:
            os.setsid()
        finally:
            os._exit(0 if os.getpgid(0) != group else 1)
    if os.waitpid(pid, 0)[1] != 0:
        raise PermissionError


def _stopped(attack: Callable[[], object]) -> bool:
    try:
        attack()
    except OSError:
        return True
    return False
