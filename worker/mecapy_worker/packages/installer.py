"""Runs uv, confined, without secrets, with the indexes' hosts as its network."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import os
import signal
import socket
import sys
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from mecapy_backend.shared.settings import Settings
from mecapy_worker.egress import rules
from mecapy_worker.egress.rules import HostRule
from mecapy_worker.packages import index_proxy
from mecapy_worker.packages.confined_start import InstallerPlan
from mecapy_worker.shared.channel import ready

_START = """import sys; sys.path += sys.argv[2:]
from mecapy_worker.packages.confined_start import main
main()"""
_PUBLIC = (HostRule("pypi.org", 443), HostRule("*.pythonhosted.org", 443))  # uv's own default
_WITHIN_S = 900.0
_OUTPUT_BYTES = 64 << 10


class InstallerFailed(Exception):
    """The text is what uv said."""


@dataclass(frozen=True, slots=True)
class Indexes:
    """Where packages come from. `local`: folders of this machine that are indexes."""

    urls: tuple[str, ...]
    hosts: tuple[HostRule, ...]
    local: tuple[str, ...]

    @classmethod
    def of(cls, settings: Settings) -> Indexes:
        """Raises BadRule."""
        hosts = [
            rules.host_rule(entry, "MECAPY_PACKAGES_HOSTS") for entry in settings.packages_hosts
        ]
        local = list[str]()
        for url in settings.packages_index:
            parts = urlsplit(url)
            if parts.scheme == "file":
                local.append(parts.path)
            elif parts.hostname:
                port = parts.port or (80 if parts.scheme == "http" else 443)
                hosts.append(rules.host_rule(f"{parts.hostname}:{port}", "MECAPY_PACKAGES_INDEX"))
        hosts += [] if settings.packages_index else _PUBLIC
        return cls(settings.packages_index, tuple(hosts), tuple(local))

    def as_environment(self) -> dict[str, str]:
        """The indexes as environment variables, because a URL may hold a password, which a command
        line shows.
        """
        if not self.urls:
            return {}
        *before, last = self.urls
        return {"UV_DEFAULT_INDEX": last} | ({"UV_INDEX": " ".join(before)} if before else {})


async def run_uv(
    settings: Settings, indexes: Indexes, arguments: Sequence[str], cache: Path, work: Path
) -> None:
    """Runs in `work`, and writes there and to `cache` alone. Raises InstallerFailed."""
    constraints = [settings.packages_constraints] if settings.packages_constraints else []
    # here, because a worker whose tasks add nothing needs no uv
    program: str = vars(importlib.import_module("uv"))["find_uv_bin"]()
    common = ("--no-config", "--cache-dir", str(cache), "--no-progress", "--color", "never")
    ours, theirs = socket.socketpair()
    with ours, theirs:
        plan = InstallerPlan(
            theirs.fileno(),
            (program, *arguments, *common),
            (str(cache), str(work)),
            (program, *indexes.local, *constraints, *_certificates().values()),
            settings.max_disk_bytes,
            settings.sandbox == "strict",
        )
        async with _process(plan, theirs, work, indexes) as process:
            theirs.close()
            await ready(ours.fileno())
            _, fds, _, _ = socket.recv_fds(ours, 1, 1)
            async with contextlib.AsyncExitStack() as stack:
                if fds:  # else it has ended, with the reason
                    listener = socket.socket(fileno=fds[0])
                    await stack.enter_async_context(index_proxy.serving(listener, indexes.hosts))
                assert process.stdout
                said = await _end_of(process.stdout)
            if await process.wait():
                raise InstallerFailed(said)


def _certificates() -> dict[str, str]:
    """Where the operator has authorities of their own."""
    names = ("SSL_CERT_FILE", "SSL_CERT_DIR")
    return {name: os.environ[name] for name in names if os.environ.get(name)}


@contextlib.asynccontextmanager
async def _process(
    plan: InstallerPlan, sock: socket.socket, work: Path, indexes: Indexes
) -> AsyncGenerator[asyncio.subprocess.Process]:
    """Ended with all that it started when the block ends, at the latest after _WITHIN_S."""
    path = [text for text in os.environ.get("PYTHONPATH", "").split(os.pathsep) if text]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-c", _START, plan.as_text(), *path),
        env={"PATH": os.defpath, "HOME": str(work), "TMPDIR": str(work), "LANG": "C.UTF-8"}
        | {"UV_PYTHON_DOWNLOADS": "never"}
        | (_certificates() or {"UV_SYSTEM_CERTS": "1"})
        | indexes.as_environment(),
        cwd=work,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        pass_fds=(sock.fileno(),),
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(_WITHIN_S):
            yield process
    except TimeoutError:
        raise InstallerFailed(f"it took longer than {_WITHIN_S / 60:.0f} minutes") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


async def _end_of(stream: asyncio.StreamReader) -> str:
    said = b""
    while piece := await stream.read(_OUTPUT_BYTES):
        said = (said + piece)[-_OUTPUT_BYTES:]
    return said.decode(errors="replace")
