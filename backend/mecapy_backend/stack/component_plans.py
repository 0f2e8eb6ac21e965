"""The components of one stack: programs, environments and health checks.

Starts nothing. The gateway's socket is bound here and inherited, so that requests wait in it during
a restart instead of being refused.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path

from mecapy_backend.stack import probes, programs
from mecapy_backend.stack.component import Plan
from mecapy_backend.stack.live_workers import Roster
from mecapy_jupyter.shared.data_dir import DataDir
from mecapy_jupyter.shared.errors import StackError
from mecapy_jupyter.shared.processes import mecapy_command

# The part of the user's environment that components see. A kernel's variables (MPLBACKEND) and
# secrets are left out.
_PASSED = {
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "TZ",
    "TMPDIR",
    "PYTHONPATH",
    "PYTHONWARNINGS",
    "VIRTUAL_ENV",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
}
_PASSED_PREFIXES = ("LANG", "LC_", "LD_LIBRARY_PATH", "DYLD_", "XDG_", "COVERAGE_", "MECAPY_")
_CLIENT_ONLY = {
    "MECAPY_URL",
    "MECAPY_TOKEN",
    "MECAPY_NONINTERACTIVE",
    "MECAPY_IDLE_STOP",
    "MECAPY_WORKERS",
}


def environment(**settings: str) -> dict[str, str]:
    passed = {
        name: value
        for name, value in os.environ.items()
        if (name in _PASSED or name.startswith(_PASSED_PREFIXES)) and name not in _CLIENT_ONLY
    }
    return passed | settings


def bare_environment() -> dict[str, str]:
    """The environment of PostgreSQL and Valkey, which need no settings of ours."""
    return {
        name: value
        for name, value in environment().items()
        if not name.startswith(("MECAPY_", "PYTHON"))
    }


def postgres(data_dir: DataDir, run: Path) -> Plan:
    path = run / "pg" / ".s.PGSQL.5432"
    return Plan(
        "postgres",
        build=lambda: programs.postgres(data_dir.data, run),
        answers=lambda _: asyncio.to_thread(probes.postgres, path),
        address=str(path.parent),
        log=data_dir.logs / "postgres.log",
        environment=bare_environment(),
    )


def valkey(data_dir: DataDir, run: Path) -> Plan:
    path = run / "valkey.sock"
    return Plan(
        "redis",
        build=lambda: programs.valkey(data_dir.data, run),
        answers=lambda _: asyncio.to_thread(probes.valkey, path),
        address=str(path),
        log=data_dir.logs / "redis.log",
        environment=bare_environment(),
    )


def server_settings(
    data_dir: DataDir, database_url: str, redis_url: str, token: str
) -> dict[str, str]:
    """The environment of gateway and worker; what the user set for them (limits, preload, slots)
    stands.
    """
    settings = {
        "MECAPY_DATABASE_URL": database_url,
        "MECAPY_REDIS_URL": redis_url,
        "MECAPY_BLOB_URL": (data_dir.data / "blobs").as_uri(),
        "MECAPY_TOKEN": token,
        "PYTHONUNBUFFERED": "1",
    }
    # Not in the data directory, because a child with another uid must reach it; and kept when the
    # stack ends.
    folder = Path(tempfile.gettempdir()) / f"mecapy-packages-{os.geteuid()}"
    usual = {
        "MECAPY_SANDBOX": "best-effort",
        "MECAPY_PACKAGES": "any",
        "MECAPY_PACKAGES_DIR": str(folder),
    }
    return usual | environment() | settings


def gateway(
    data_dir: DataDir, listener: socket.socket, url: str, settings: Mapping[str, str]
) -> Plan:
    number = listener.fileno()
    return Plan(
        "gateway",
        build=lambda: programs.Program("gateway", mecapy_command("gateway", "--fd", str(number))),
        answers=lambda _: asyncio.to_thread(probes.gateway, url),
        address=url,
        log=data_dir.logs / "gateway.log",
        environment=settings,
        sockets=(number,),
        stop_s=8.0,
    )


def scratch() -> Path:
    """Where the workers' tasks write. Not in the data directory, because a child with another uid
    must reach it.
    """
    folder = Path(tempfile.mkdtemp(prefix="mecapy-stack-"))
    folder.chmod(0o711)
    return folder


def worker(
    data_dir: DataDir, number: int, scratch: Path, roster: Roster, settings: Mapping[str, str]
) -> Plan:
    """The gateway takes no part in a worker's work, so the worker does not need its token."""
    folder = scratch / f"worker-{number}"
    mine = {name: value for name, value in settings.items() if name != "MECAPY_TOKEN"} | {
        "TMPDIR": str(folder)
    }

    if (first := settings.get("MECAPY_WORKER_PORT", "")).isdigit() and int(first):
        mine["MECAPY_WORKER_PORT"] = str(int(first) + number - 1)

    def build() -> programs.Program:
        shutil.rmtree(folder, ignore_errors=True)  # what a killed predecessor left
        folder.mkdir(mode=0o711)
        return programs.Program("worker", mecapy_command("worker"))

    return Plan(
        "worker",
        build=build,
        answers=roster.reported,
        address="",
        log=data_dir.logs / f"worker-{number}.log",
        environment=mine,
        stop_s=20.0,
    )


def listen(port: int, remembered: Path) -> socket.socket:
    """A listening socket on loopback: on `port`, else on the port used last time, else on any free
    one.
    """
    wanted = [port] if port else [*_last_port(remembered), 0]
    problem = OSError()
    for candidate in wanted:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", candidate))
            listener.listen(512)
        except OSError as taken:
            listener.close()
            problem = taken
            continue
        remembered.write_text(f"{listener.getsockname()[1]}\n")
        return listener
    raise StackError(
        f"port {port} of this machine is not free ({problem.strerror}): choose another with "
        f"--port, or leave it out"
    )


def _last_port(remembered: Path) -> list[int]:
    try:
        return [int(remembered.read_text())]
    except (OSError, ValueError):
        return []
