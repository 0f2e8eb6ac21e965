"""The embedded stack seen from a notebook or the command line: is it there, start it, stop it, what
runs.

Imports no server code: the stack is another process (`mecapy up`), met through the files of its
data directory (`datadir`).
"""

from __future__ import annotations

import importlib.util
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mecapy_jupyter.shared import errors
from mecapy_jupyter.shared.data_dir import Files, files, lives, recorded, running
from mecapy_jupyter.shared.secret import Secret

IDLE_STOP_S = 600.0
_READY_S = 60.0  # a laptop that has other things to do
_STOP_S = 40.0
_REAP_S = 1.0
_LOOK_S = 0.05
_SERVER_PARTS = (
    "fastapi",
    "uvicorn",
    "alembic",
    "sqlalchemy",
    "asyncpg",
    "arq",
    "mecapy_backend",
    "mecapy_worker",
)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the gateway is and who we are. `source` says in words where that was found. No token:
    by the login kept for that gateway.
    """

    url: str
    token: str = field(repr=False)
    source: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "token", Secret(self.token))


def status(data: Path | str | None = None) -> dict[str, Any]:
    """The contract's `mecapy status --json`. Without a running stack: `url` is None and
    `components` is empty.
    """
    place = files(data)
    state = running(place)
    if not state:
        return {
            "url": None,
            "data": str(place.data),
            "supervisor": None,
            "ready": False,
            "components": [],
        }
    components = [
        {name: value for name, value in part.items() if name != "created"}
        | {"healthy": bool(part["healthy"] and lives(part["pid"], part["created"]))}
        for part in state["components"]
    ]
    supervisor = {"pid": state["supervisor"]["pid"]}
    return {
        "url": state["url"],
        "data": str(place.data),
        "supervisor": supervisor,
        "ready": state["ready"],
        "components": components,
    }


def ensure(data: Path | str | None = None, say: Say = print) -> Endpoint:
    """The endpoint of the running stack; starts one when there is none, and waits until it is
    ready.

    Raises `ConfigError` where the stack is not installed and `StackError` when it does not come up.
    """
    place = files(data)
    until = time.monotonic() + _READY_S
    found = _endpoint(place)
    if found:
        return found
    _require_local()
    place.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(place.data / "start.lock", until):  # two notebooks make one stack
        while time.monotonic() < until:
            found = _endpoint(place)
            if found:
                return found
            if running(place):  # it is starting or stopping: wait for the one or the other
                time.sleep(_LOOK_S)
                continue
            _start(place, until)
            say(
                f"MecaPy: started an embedded stack on this machine (ends by itself when idle, or "
                f"with `mecapy down`; logs in {place.logs})"
            )
    raise errors.StackError(
        f"the embedded stack is not ready after {_READY_S:.0f} s. {_tail(place)}"
    )


def joined(data: Path | str | None = None) -> Endpoint | None:
    """The endpoint of the running stack, if there is one."""
    return _endpoint(files(data))


def down(data: Path | str | None = None) -> bool:
    """Stop the stack in order and wait until it is gone, its leftovers too. False: nothing ran."""
    place = files(data)
    state = running(place)
    if not state:
        return _sweep(place)
    pid = state["supervisor"]["pid"]
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    until = time.monotonic() + _STOP_S
    while lives(pid, state["supervisor"]["created"]):
        if time.monotonic() > until:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            _sweep(place)
            break
        time.sleep(_LOOK_S)
    reaped_by = (
        time.monotonic() + _REAP_S
    )  # it has ended; whoever counts processes sees it until its parent has looked
    while _exists(pid) and time.monotonic() < reaped_by:
        time.sleep(_LOOK_S)
    return True


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _endpoint(place: Files) -> Endpoint | None:
    """The running stack's endpoint, once it answered: the question also tells the stack that
    somebody is here.
    """
    from mecapy_jupyter.client.http import Gateway

    state = running(place)
    if not (state and state["ready"]):
        return None
    endpoint = Endpoint(
        state["url"], place.token.read_text().strip(), f"embedded stack in {place.data}"
    )
    with suppress(
        errors.ConnectionFailed, errors.Unavailable
    ):  # it ends just now, or its gateway is being restarted
        Gateway(endpoint.url, endpoint.token).get("/me")
        return endpoint
    return None


def _require_local() -> None:
    missing = [name for name in _SERVER_PARTS if importlib.util.find_spec(name) is None]
    if missing:
        raise errors.ConfigError(
            "no gateway is configured, and the embedded stack is not installed here: `pip install "
            "'mecapy-jupyter[local]'`, "
            "or set MECAPY_URL and MECAPY_TOKEN (`mecapy login` asks for both and keeps them)"
        )


def _start(place: Files, until: float) -> None:
    """`mecapy up` as a daemon. It holds a pipe's end until it is ready, or dead."""
    place.logs.mkdir(mode=0o700, parents=True, exist_ok=True)
    idle_s = os.environ.get("MECAPY_IDLE_STOP") or str(IDLE_STOP_S)
    ours, theirs = os.pipe()
    try:
        argv = command(
            "up",
            "--data",
            str(place.data),
            "--idle-stop",
            idle_s,
            "--detach",
            "--ready-fd",
            str(theirs),
        )
        with (place.logs / "up.log").open("wb") as log:
            subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(theirs,),
                cwd=place.data,
                check=False,
            )
        os.close(theirs)
        theirs = -1
        ready, _, _ = select.select([ours], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            raise errors.StackError(
                f"the embedded stack is not ready after {_READY_S:.0f} s. {_tail(place)}"
            )
        if not os.read(ours, 16):
            raise errors.StackError(f"the embedded stack did not start. {_tail(place)}")
    finally:
        os.close(ours)
        if theirs >= 0:
            os.close(theirs)


def command(*arguments: str) -> tuple[str, ...]:
    """The `mecapy` command of this very installation. -P: nothing in the current folder may stand
    for one of our modules.
    """
    return (sys.executable, "-P", "-m", "mecapy_jupyter.cli", *arguments)


def _sweep(place: Files) -> bool:
    """Ends what a killed supervisor left behind. True: there was something."""
    state = recorded(place)
    if not state or not any(lives(part["pid"], part["created"]) for part in state["components"]):
        return False
    subprocess.run(command("up", "--data", str(place.data), "--sweep"), check=False)
    return True


def _tail(place: Files) -> str:
    try:
        text = (place.logs / "up.log").read_text(errors="replace").strip()
    except OSError:
        text = ""
    return (
        f"Its log {place.logs / 'up.log'} ends with:\n{text[-1500:] or '(nothing)'}\nTry "
        f"`mecapy up` in a terminal to watch it start."
    )


@contextmanager
def _alone(path: Path, until: float) -> Generator[None]:
    import fcntl  # late: Windows has none, nor an embedded stack

    with path.open("a") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() > until:
                    raise errors.StackError(
                        f"another process is still starting the stack in {path.parent}: see "
                        f"`mecapy status`"
                    ) from None
                time.sleep(_LOOK_S)
        yield
