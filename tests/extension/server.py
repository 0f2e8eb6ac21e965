"""A real Jupyter server behind a base URL, as a hub starts it, and a browser's session with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

BASE = "/user/ada/"
PASSWORD = "the-page's-own-token"


@dataclass(frozen=True, slots=True)
class Server:
    """`url` ends with the base URL. `home` is its user's home: settings of theirs are written
    there.
    """

    url: str
    home: Path
    log: Path
    process: subprocess.Popen[bytes]

    def says_configured(self, url: str, token: str) -> None:
        """As `mecapy login` leaves it."""
        path = self.home / "config" / "mecapy" / "config.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"url = {json.dumps(url)}\ntoken = {json.dumps(token)}\n")

    def page(self) -> httpx.Client:
        """A browser that has logged in: it has the cookies, and sends the XSRF cookie's value back
        as Jupyter's pages do.
        """
        client = httpx.Client(base_url=self.url, timeout=120)
        client.get("login").raise_for_status()
        form = {"password": PASSWORD, "_xsrf": client.cookies["_xsrf"]}
        assert client.post("login", data=form).status_code == 302
        client.headers["X-XSRFToken"] = client.cookies["_xsrf"]
        client.headers["Referer"] = self.url
        return client


def environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of a user with this home, and with nothing configured."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MECAPY_", "JUPYTER"))
    }
    clean |= {
        f"JUPYTER_{name}_DIR": str(home / name.lower()) for name in ("RUNTIME", "CONFIG", "DATA")
    }
    return (
        clean
        | {
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_DATA_HOME": str(home / "data"),
        }
        | more
    )


@contextmanager
def running(
    home: Path, *command: str, root: Path | None = None, **environ: str
) -> Iterator[Server]:
    """`python -m jupyter_server`, or another command, alone in its own home; stopped at the end
    with its kernels.
    """
    argv = command or (sys.executable, "-m", "jupyter_server")
    options = [
        "--no-browser",
        "--ip=127.0.0.1",
        "--port=0",
        "--ServerApp.port_retries=0",
        "--allow-root",
        f"--ServerApp.base_url={BASE}",
    ]
    options += [f"--IdentityProvider.token={PASSWORD}", f"--ServerApp.root_dir={root or home}"]
    env = environment(home, **environ)
    log = home / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [*argv, *options],
            env=env,
            stdout=out,
            stderr=out,
            stdin=subprocess.DEVNULL,
            cwd=root or home,
        )
    try:
        yield Server(
            _url(home / "runtime" / f"jpserver-{process.pid}.json", process, log),
            home,
            log,
            process,
        )
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(120)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _url(info: Path, process: subprocess.Popen[bytes], log: Path) -> str:
    until = time.monotonic() + 240
    while time.monotonic() < until and process.poll() is None:
        try:
            url: str = json.loads(info.read_text())["url"]
            httpx.get(
                f"{url}api/status", params={"token": PASSWORD}, timeout=120
            ).raise_for_status()
            return url
        except (OSError, ValueError, httpx.HTTPError):
            time.sleep(
                0.05
            )  # nothing to wait on: the server says only in this file and on its port that it is up
    raise AssertionError(f"the Jupyter server did not start:\n{log.read_text()}")
