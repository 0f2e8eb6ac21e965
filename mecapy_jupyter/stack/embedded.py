"""The embedded stack seen from a notebook or the command line: find it, start it, stop it, show
what runs. Imports no server code and nothing of the client: the stack is another process (`mecapy
up`), found through the files of its data directory.
"""

from __future__ import annotations

import importlib.util
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import urllib3

from mecapy_jupyter.shared import errors
from mecapy_jupyter.shared.data_dir import (
    DataDir,
    data_dir,
    log_tail,
    recorded_state,
    running_state,
)
from mecapy_jupyter.shared.own_folder import own_folder
from mecapy_jupyter.shared.own_requests import unlogged
from mecapy_jupyter.shared.processes import is_alive, mecapy_command
from mecapy_jupyter.shared.secret import Secret
from mecapy_jupyter.stack.proven import proven_pool
from mecapy_jupyter.wire.stack import StackState, StackStatus

IDLE_STOP_S = 600.0
_READY_S = 200.0  # a laptop that has other things to do
_STOP_S = 40.0
_REAP_S = 1.0
_LOOK_S = 0.05
_ANSWER_S = 5.0
_RETRY = urllib3.Retry(
    4, backoff_factor=0.1, status_forcelist=(502, 503, 504), raise_on_status=False
)
_SERVER_PARTS = (
    *("fastapi", "uvicorn", "alembic", "sqlalchemy", "asyncpg", "arq"),
    *("mecapy_backend", "mecapy_worker"),
)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The gateway's address and the token. `source`: where they were found, in words. Without a
    token, the login kept for that gateway is used. `data`: the data directory of an embedded stack,
    which must prove itself.
    """

    url: str
    token: str = field(repr=False)
    source: str
    data: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "token", Secret(self.token))


def status(data: Path | str | None = None) -> StackStatus:
    """What runs. Without a running stack: `url` is None and `components` is empty."""
    stack = data_dir(data)
    state = running_state(stack)
    if not state:
        return StackStatus(str(stack.data))
    components = tuple(
        replace(component, healthy=component.healthy and is_alive(component.process))
        for component in state.components
    )
    return StackStatus(str(stack.data), state.url, state.supervisor.pid, state.ready, components)


def ensure(data: Path | str | None = None, say: Say = print) -> Endpoint:
    """The endpoint of the running stack; starts one if there is none, and waits until it is ready.
    Raises `ConfigError` if the stack is not installed, `StackError` if it does not start.
    """
    stack = data_dir(data)
    until = time.monotonic() + _READY_S
    found = _endpoint(stack)
    if found:
        return found
    _require_local()
    own_folder(stack.data, setting="--data")
    with _alone(stack.data / "start.lock", until):  # two notebooks make one stack
        while time.monotonic() < until:
            found = _endpoint(stack)
            if found:
                return found
            if _running(stack):  # it is starting or stopping: wait for the one or the other
                time.sleep(_LOOK_S)
                continue
            _start(stack, until)
            say(
                f"MecaPy: started an embedded stack on this machine (ends by itself when idle, or "
                f"with `mecapy down`; logs in {stack.logs})"
            )
    raise _not_ready(stack)


def joined(data: Path | str | None = None) -> Endpoint | None:
    """The endpoint of the running stack, if there is one."""
    return _endpoint(data_dir(data))


def down(data: Path | str | None = None) -> bool:
    """Stop the stack gracefully and wait until all of it has ended. False: nothing ran."""
    stack = data_dir(data)
    state = _running(stack)
    if not state:
        return _sweep(stack)
    supervisor = state.supervisor
    _signal(supervisor.pid, signal.SIGTERM)
    until = time.monotonic() + _STOP_S
    while is_alive(supervisor):
        if time.monotonic() > until:
            _signal(supervisor.pid, signal.SIGKILL)
            _sweep(stack)
            break
        time.sleep(_LOOK_S)
    # It has ended, but stays visible until its parent has reaped it.
    reaped_by = time.monotonic() + _REAP_S
    while _exists(supervisor.pid) and time.monotonic() < reaped_by:
        time.sleep(_LOOK_S)
    return True


def _running(stack: DataDir) -> StackState | None:
    """What runs, from a directory that only we can write, because we end the processes it names and
    send the token it holds.
    """
    if os.path.lexists(stack.data):
        own_folder(stack.data, setting="--data")
    return running_state(stack)


def _signal(pid: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError:
        return False
    return True


def _endpoint(stack: DataDir) -> Endpoint | None:
    """The running stack's endpoint, once it answers."""
    state = _running(stack)
    if not (state and state.ready):
        return None
    try:
        token = Secret(stack.token.read_text().strip())
    except FileNotFoundError:  # it is ending
        return None
    endpoint = Endpoint(state.url, token, f"embedded stack in {stack.data}", str(stack.data))
    return endpoint if _answers(endpoint) else None


def _answers(endpoint: Endpoint) -> bool:
    """Whether the gateway answers; False if it is ending or being restarted. A request with the
    token also counts as use of the stack.
    """
    headers = {"Authorization": Secret(f"Bearer {endpoint.token}")}
    try:
        pool = proven_pool(endpoint.token, timeout=_ANSWER_S, retries=_RETRY)
        with unlogged(), pool:
            return pool.request("GET", f"{endpoint.url}/me", headers=headers).status < 500
    except urllib3.exceptions.HTTPError:
        return False


def _require_local() -> None:
    missing = [name for name in _SERVER_PARTS if importlib.util.find_spec(name) is None]
    if missing:
        raise errors.ConfigError(
            "no gateway is configured, and the embedded stack is not installed here: `pip install "
            "'mecapy-jupyter[local]'`, "
            "or set MECAPY_URL and MECAPY_TOKEN (`mecapy login` asks for both and keeps them)"
        )


def _start(stack: DataDir, until: float) -> None:
    """`mecapy up` as a daemon. It holds one end of a pipe until it is ready or dead."""
    own_folder(stack.logs, setting="--data")
    read_end, write_end = os.pipe()
    try:
        try:
            _run_daemon(stack, write_end)
        finally:
            os.close(write_end)
        ready, _, _ = select.select([read_end], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            raise _not_ready(stack)
        if not os.read(read_end, 16):
            raise errors.StackError(f"the embedded stack did not start. {_tail(stack)}")
    finally:
        os.close(read_end)


def _run_daemon(stack: DataDir, ready_fd: int) -> None:
    idle_s = os.environ.get("MECAPY_IDLE_STOP") or str(IDLE_STOP_S)
    data = ("--data", str(stack.data), "--idle-stop", idle_s)
    with (stack.logs / "up.log").open("wb") as log:
        subprocess.run(
            mecapy_command("up", *data, "--detach", "--ready-fd", str(ready_fd)),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(ready_fd,),
            cwd=stack.data,
            check=False,
        )


def _not_ready(stack: DataDir) -> errors.StackError:
    return errors.StackError(
        f"the embedded stack is not ready after {_READY_S:.0f} s. {_tail(stack)}"
    )


def _sweep(stack: DataDir) -> bool:
    """End what a killed supervisor left running. True: there was something."""
    state = recorded_state(stack)
    if not state or not any(is_alive(component.process) for component in state.components):
        return False
    subprocess.run(mecapy_command("up", "--data", str(stack.data), "--sweep"), check=False)
    return True


def _tail(stack: DataDir) -> str:
    return f"{log_tail(stack.logs / 'up.log')}\nTry `mecapy up` in a terminal to watch it start."


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
