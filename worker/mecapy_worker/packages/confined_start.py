"""The start of the installer: a process that confines itself, then becomes uv. It reaches the proxy
of the indexes alone, reads what a child may read, and writes to the folders that it is given.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import resource
import socket
import struct
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from mecapy_worker.sandbox import landlock, pid_namespaces
from mecapy_worker.shared import libc
from mecapy_worker.zygote import host_capabilities

_SET_FLAGS, _UP = 0x8914, 0x41  # of ioctl: netdevice(7)
_MOST_FILES = 4096


@dataclass(frozen=True, slots=True)
class InstallerPlan:
    """`socket`: where it sends the proxy's listening socket, as a descriptor. `strict`: refuse
    where it could reach more than that.
    """

    socket: int
    command: tuple[str, ...]
    writable: tuple[str, ...]
    readable: tuple[str, ...]
    disk_bytes: int
    strict: bool

    def as_text(self) -> str:
        return json.dumps(asdict(self))


def main() -> None:
    """Confine this process and become the installer."""
    plan = InstallerPlan(**json.loads(sys.argv[1]))
    os.set_inheritable(plan.socket, False)
    worker = socket.socket(fileno=plan.socket)
    with contextlib.suppress(OSError):
        libc.prctl(libc.PR_SET_PDEATHSIG, 9)
    alone = _own_network()
    listener = socket.create_server(("127.0.0.1", 0))
    port: int = listener.getsockname()[1]
    if plan.strict and (landlock.version() == 0 or not (alone or landlock.version() >= 4)):
        raise SystemExit(
            "error: this machine cannot confine the installer (no Landlock, or neither network "
            "namespaces nor Landlock 4), and MECAPY_SANDBOX=strict"
        )
    socket.send_fds(worker, [b"!"], [listener.fileno()])
    proxy = f"http://127.0.0.1:{port}"
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"):
        os.environ[name] = proxy
    _confine(plan, port)
    os.execv(plan.command[0], plan.command)


def _own_network() -> bool:
    """A network namespace with nothing but loopback."""
    try:
        uid, gid = os.geteuid(), os.getegid()
        libc.unshare(libc.CLONE_NEWNET | (libc.CLONE_NEWUSER if uid else 0))
        if uid:
            pid_namespaces.map_user(uid, gid)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            fcntl.ioctl(any_socket, _SET_FLAGS, struct.pack("16sh", b"lo", _UP))
    except OSError:
        return False
    return True


def _confine(plan: InstallerPlan, port: int) -> None:
    os.umask(0o022)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (plan.disk_bytes, plan.disk_bytes))
    files = min(_MOST_FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    with contextlib.suppress(OSError):
        libc.bound_capabilities()
        libc.drop_capabilities()
    with contextlib.suppress(OSError):
        libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    if landlock.version():
        read = host_capabilities.readable_paths(map(Path, plan.readable))
        places = [landlock.opened(path, landlock.READ) for path in read]
        places += [landlock.opened(path, landlock.WRITE) for path in plan.writable]
        places += [landlock.opened(path, landlock.WRITE) for path in ("/dev/null",)]
        places += [landlock.opened("/proc/self", landlock.READ)]
        landlock.restrict(filter(None, places), port)
