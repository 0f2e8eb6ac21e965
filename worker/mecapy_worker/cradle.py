"""The first moments of a child: from the fork to serving its one task. Runs in the child only.

It lets go of all it inherited, confines itself, warms up, says `ready`, and hands over to the child module
(`mecapy_worker.child`), which runs user code. It never returns: the process ends here.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import sys
import tempfile
import traceback
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import NoReturn

from mecapy_worker import libc, sandbox
from mecapy_worker.frames import Channel

_CHANNEL_FD = 3


@dataclass(frozen=True, slots=True)
class Birth:
    """What the zygote gives a child. `fds`: its channel, its stdout, its stderr."""

    module: str
    rules: sandbox.Confinement
    shared: Path
    fds: tuple[int, ...]


def live(birth: Birth) -> NoReturn:
    """From fork to end."""
    code = 1
    try:
        channel = _let_go(birth.fds)
        root = birth.rules.root
        _settle(root, birth.shared)
        layers = sandbox.confine(birth.rules)
        module = import_module(birth.module)
        _awake()
        module.warm(root / "work")
        channel.send("ready", {"applied": layers.applied, "missing": layers.missing})
        module.serve(channel, root / "work", root / "outbox")
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _let_go(fds: tuple[int, ...]) -> Channel:
    """An own process group, the usual signals, and no open file of the zygote's but the three that are ours."""
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    with contextlib.suppress(OSError):
        libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # Moved out of the way first: the numbers that came may be the very ones they go to.
    moved = [os.dup(fd) if fd <= _CHANNEL_FD else fd for fd in fds]
    while min(moved) <= _CHANNEL_FD:
        moved = [os.dup(fd) if fd <= _CHANNEL_FD else fd for fd in moved]
    null = os.open(os.devnull, os.O_RDWR)
    for fd, number in ((null, 0), (moved[1], 1), (moved[2], 2), (moved[0], _CHANNEL_FD)):
        os.dup2(fd, number, inheritable=number != _CHANNEL_FD)
    for fd in [int(entry.name) for entry in Path("/dev/fd").iterdir()]:  # os.closerange tries a million where close_range is missing
        if fd > _CHANNEL_FD:
            with contextlib.suppress(OSError):
                os.close(fd)
    return Channel(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, _CHANNEL_FD))


def _settle(root: Path, shared: Path) -> None:
    """Its own folder is home, temporary directory and working directory."""
    os.umask(0o077)
    for name, folder in {"HOME": "home", "TMPDIR": "tmp", "MPLCONFIGDIR": "home/matplotlib", "IPYTHONDIR": "home/ipython"}.items():
        os.environ[name] = str(root / folder)
    os.environ.pop("XDG_CACHE_HOME", None)
    tempfile.tempdir = None
    os.chdir(root / "work")
    # A Python started by the task would else look for all fonts anew.
    for fonts in (shared / "matplotlib").glob("fontlist-*.json"):
        (root / "home/matplotlib" / fonts.name).symlink_to(fonts)


def _awake() -> None:
    """Undo what was right for the zygote only; and no two children draw the same random numbers."""
    gc.enable()
    if random := sys.modules.get("numpy.random"):
        random.seed()
