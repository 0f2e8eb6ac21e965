"""One real PostgreSQL or Valkey for a test: started, ready when `start` returns, gone when `stop`
returns.

A stack of all components, supervised, is `supervisor`; both run the same programs (`programs`).
"""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

from mecapy_backend.stack import probes, programs
from mecapy_jupyter.shared.errors import StackError
from mecapy_jupyter.shared.own_folder import own_folder

_READY_S = 120.0
_STOP_S = 20.0


class _ServiceProcess:
    """A running program. A PostgreSQL restarted by `start` on the same directory has the same data
    and URL.
    """

    def __init__(
        self, program: programs.Program, process: subprocess.Popen[bytes], temporary: Path | None
    ) -> None:
        self.url = program.url
        self.socket = program.socket
        self._program, self._process, self._temporary = program, process, temporary

    @property
    def pid(self) -> int:
        return self._process.pid

    def stop(self) -> None:
        """Ends it in order and waits until it is gone. Stopping twice is fine."""
        if self._process.poll() is None:
            self._process.send_signal(self._program.stop)
            try:
                self._process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.wait()
        if self._temporary:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Postgres(_ServiceProcess):
    """A PostgreSQL server on a unix socket; `url` has its superuser and the database `postgres`."""

    @classmethod
    def start(cls, directory: Path) -> Postgres:
        return cls(*_start(directory, programs.postgres, probes.postgres))


class Valkey(_ServiceProcess):
    """A Valkey (or Redis) server on a unix socket; keeps nothing on disk."""

    @classmethod
    def start(cls, directory: Path) -> Valkey:
        return cls(*_start(directory, programs.valkey, probes.valkey))


def _start(
    directory: Path,
    prepare: Callable[[Path, Path], programs.Program],
    ready: Callable[[Path], bool],
) -> tuple[programs.Program, subprocess.Popen[bytes], Path | None]:
    directory = directory.resolve()
    own_folder(directory, setting="--data")
    run, temporary = programs.sockets(directory)
    program = prepare(directory, run)
    log = directory / f"{program.name}.log"
    # A child gets the signal at the end of the *thread* that made it: only the main thread lives as
    # long as we do.
    argv = program.launched(with_parent=threading.current_thread() is threading.main_thread())
    with log.open("ab") as out:
        process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=out, stderr=out, cwd="/", start_new_session=True
        )
    assert process.stdin
    process.stdin.write(program.text)
    process.stdin.close()
    until = time.monotonic() + _READY_S
    assert program.socket
    while not ready(program.socket):
        if process.poll() is not None or time.monotonic() > until:
            process.kill()
            process.wait()
            raise StackError(
                f"{program.name} does not start; its log {log} ends "
                f"with:\n{log.read_text(errors='replace')[-1500:]}"
            )
        time.sleep(0.01)
    return program, process, run if temporary else None
