"""A real Keycloak for the tests. `python -m tests.security.keycloak` fetches it, with Maven, and
makes it ready, once.

It is kept outside the checkout, for all checkouts of this user. A run of the tests never downloads
it: where it is not there, the tests that need it are skipped and say this.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

VERSION = "26.7.3"  # runs on Java 17 and 21
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mecapy-tests"
PLACE = CACHE / f"keycloak-{VERSION}"
REALM = Path(__file__).parents[2] / "backend" / "keycloak" / "mecapy-realm.json"
PASSWORD = "only-in-tests"
_START_S = 300.0  # 15 s, on a machine with nothing else to do
# Nothing is kept, no cluster is looked for, and the compiler does not optimise what runs for a
# minute.
_BUILD = ("build", "--db=dev-mem", "--cache=local")
_QUICK = {"JAVA_OPTS_APPEND": "-XX:TieredStopAtLevel=1"}


def why_not() -> str:
    """Why there is none here; empty: there is."""
    if not shutil.which("java"):
        return "needs Java 17 or newer, for Keycloak"
    return (
        ""
        if PLACE.exists()
        else "needs Keycloak (python -m tests.security.keycloak fetches it, with Maven)"
    )


def fetch() -> None:
    """Into the cache, unpacked and built. Nothing to do when it is there."""
    if PLACE.exists():
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        artifact = f"org.keycloak:keycloak-quarkus-dist:{VERSION}:zip"
        copy = (
            "mvn",
            "-B",
            "-q",
            "dependency:copy",
            f"-Dartifact={artifact}",
            f"-DoutputDirectory={folder}",
        )
        subprocess.run(copy, check=True, cwd=folder, timeout=600)
        with zipfile.ZipFile(next(Path(folder).glob("*.zip"))) as archive:
            archive.extractall(folder)
        made = Path(folder) / PLACE.name
        subprocess.run(
            ["sh", made / "bin" / "kc.sh", *_BUILD],
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=600,
        )
        made.rename(PLACE)


@dataclass(frozen=True)
class Keycloak:
    url: str

    @property
    def issuer(self) -> str:
        return f"{self.url}/realms/mecapy"


@contextmanager
def served(users: list[dict[str, Any]], organisations: list[dict[str, Any]]) -> Iterator[Keycloak]:
    """One with the realm as we ship it, and these in it; on a free port of loopback, in memory."""
    with (
        tempfile.TemporaryDirectory(prefix="mecapy-keycloak-") as folder,
        socket.create_server(("127.0.0.1", 0)) as probe,
    ):
        home, port = Path(folder), probe.getsockname()[1]
        for name in ("bin", "conf"):
            shutil.copytree(PLACE / name, home / name)
        for name in ("lib", "providers"):
            (home / name).symlink_to(PLACE / name)
        realm = home / "data" / "import" / "mecapy-realm.json"
        realm.parent.mkdir(parents=True)
        realm.write_text(
            json.dumps(
                json.loads(REALM.read_text()) | {"users": users, "organizations": organisations}
            )
        )
        probe.close()
        start = (
            "start",
            "--optimized",
            "--import-realm",
            "--http-enabled=true",
            "--http-host=127.0.0.1",
            f"--http-port={port}",
        )
        with (home / "log").open("wb") as log:
            server = subprocess.Popen(
                ["sh", home / "bin" / "kc.sh", *start, "--hostname-strict=false"],
                stdout=log, stderr=log, env=os.environ | _QUICK, start_new_session=True,
            )  # fmt: skip
        try:
            _wait(server, home / "log")
            yield Keycloak(f"http://127.0.0.1:{port}")
        finally:
            with suppress(ProcessLookupError):
                os.killpg(
                    server.pid, signal.SIGKILL
                )  # the script and its Java; nothing there is worth keeping
            server.wait()


def _wait(server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + _START_S
    while "Listening on" not in (said := log.read_text(errors="replace")):
        assert server.poll() is None, f"Keycloak did not start:\n{said[-3000:]}"
        assert time.monotonic() < until, f"Keycloak takes too long:\n{said[-3000:]}"
        time.sleep(0.2)


if __name__ == "__main__":
    fetch()
    print(PLACE)
