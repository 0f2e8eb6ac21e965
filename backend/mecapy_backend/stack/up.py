"""`mecapy up`: one supervisor per data directory, its lines on standard output."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager

from mecapy_backend.stack import state
from mecapy_backend.stack.supervisor import StackOptions, Supervisor
from mecapy_jupyter.shared.data_dir import DataDir, running_state
from mecapy_jupyter.shared.errors import MecapyError, StackError
from mecapy_jupyter.shared.own_folder import own_folder

ALREADY_RUNNING = 3


def up(data_dir: DataDir, options: StackOptions, ready_fd: int = -1) -> int:
    """Runs the stack until it is stopped. Returns the exit code; `ready_fd` gets a line once the
    stack serves.
    """
    with _ready_pipe(ready_fd) as ready_pipe:
        try:
            for folder in (data_dir.data, data_dir.logs):
                own_folder(folder, setting="--data")
            with locked(data_dir) as is_ours:
                if not is_ours:
                    return _already(data_dir)
                if state.sweep(data_dir):
                    say("ended what an earlier stack left behind")
                asyncio.run(
                    Supervisor(
                        data_dir, options, say, lambda url, token: _serving(url, token, ready_pipe)
                    ).run()
                )
        except (MecapyError, OSError) as problem:
            print(f"mecapy up: {problem}", file=sys.stderr, flush=True)
            return 1
    return 0


def sweep(data_dir: DataDir) -> int:
    """Ends what a killed supervisor left behind, and nothing else."""
    with locked(data_dir) as is_ours:
        if is_ours:
            state.sweep(data_dir)
    return 0 if is_ours else ALREADY_RUNNING


def say(line: str) -> None:
    """A line of standard output, whose reader may be gone."""
    with contextlib.suppress(OSError, ValueError):
        print(line, flush=True)


def _serving(url: str, token: str, ready_pipe: list[int]) -> None:
    say(f"URL    {url}")
    say(f"token  {token}")
    say(f"page   {url}/?token={token}")
    if ready_pipe:
        with contextlib.suppress(OSError):
            os.write(ready_pipe[0], b"ready\n")


def _already(data_dir: DataDir) -> int:
    there = running_state(data_dir)
    where = f" at {there.url} (pid {there.supervisor.pid})" if there else ""
    print(
        f"mecapy up: a stack already runs on {data_dir.data}{where}; `mecapy down` stops it",
        file=sys.stderr,
        flush=True,
    )
    return ALREADY_RUNNING


@contextmanager
def locked(data_dir: DataDir) -> Generator[bool]:
    """Holds the stack's lock; False if another supervisor does. Released by the operating system
    however the process ends.
    """
    try:
        file = data_dir.lock.open("a")
    except OSError as problem:
        raise StackError(
            f"cannot write to {data_dir.data} ({problem.strerror}): choose another folder "
            f"with --data"
        ) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


@contextmanager
def _ready_pipe(number: int) -> Generator[list[int]]:
    """The pipe that a waiting notebook reads: closed without a line, it means that this process
    ended. No component inherits it.
    """
    if number < 0:
        yield []
        return
    os.set_inheritable(number, False)
    try:
        yield [number]
    finally:
        os.close(number)
