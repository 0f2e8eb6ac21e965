"""The start of a child, from the fork to its task: it drops what it inherited, confines itself,
warms up, reports `ready`, and calls the child module (`mecapy_worker.child.child`), which runs user
code. It never returns.
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
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol, cast

from mecapy_worker.child.hooks import shared_memory, sockets
from mecapy_worker.sandbox import confine
from mecapy_worker.sandbox.confine import harmless
from mecapy_worker.shared import crash_line, libc
from mecapy_worker.shared.channel import Channel
from mecapy_worker.shared.messages import ChildReady

_CHANNEL_FD, _EGRESS_FD = 3, 4
_FD_NUMBERS = (_CHANNEL_FD, 1, 2, _EGRESS_FD)
_TWISTER_WORDS = 624


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """What the zygote gives a child.

    `root`: its folder; `uid`: its user (None: the zygote's); `warm`: whether it runs a warm-up
    task; `environment`, `ahead`, `gpu`, `devices`: as in `ForkChild`; `fonts`: matplotlib's font
    lists; `fds`: its channel, stdout, stderr, and its egress socket if hosts are allowed.
    """

    module: str
    root: str
    uid: int | None
    warm: bool
    environment: str
    ahead: tuple[str, ...]
    gpu: str
    devices: tuple[str, ...]
    rules: confine.Confinement
    fonts: tuple[str, ...]
    fds: tuple[int, ...]


class ChildModule(Protocol):
    """The code of a child: `prepare` in the zygote, `enter` where it has packages of its own,
    `begin` before there is a task, with a warm-up task or without, `serve` to run it.
    """

    def prepare(self, preload: list[str]) -> None: ...
    def enter(self, environment: str, ahead: Sequence[str]) -> None: ...
    def begin(self, *, warm: bool) -> None: ...
    def serve(self, channel: Channel, outbox: str) -> None: ...


def run_child(spec: ChildSpec) -> NoReturn:
    """Runs a child from fork to end."""
    code = 1
    try:
        channel = _take_descriptors(spec.fds)
        _set_up_folder(spec.root, spec.fonts)
        if spec.gpu:
            os.environ["CUDA_VISIBLE_DEVICES"] = spec.gpu
        layers = confine.confine(spec.root, spec.uid, spec.rules, spec.environment, spec.devices)
        if "private_shm" in layers.missing:
            shared_memory.folder = f"{spec.root}/tmp"
        _close_other_files(max(_FD_NUMBERS[: len(spec.fds)]))
        module = cast("ChildModule", sys.modules[spec.module])
        _reset_after_fork()
        if spec.environment:
            module.enter(spec.environment, spec.ahead)
        module.begin(warm=spec.warm)
        outbox = f"{spec.root}/outbox"
        crash_line.keep(outbox)
        channel.send(ChildReady(layers.applied, layers.missing))
        module.serve(channel, outbox)
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


def _take_descriptors(fds: tuple[int, ...]) -> Channel:
    """A process group, default signals, and our descriptors at their numbers."""
    harmless(os.setpgid, 0, 0)
    harmless(libc.prctl, libc.PR_SET_PDEATHSIG, signal.SIGKILL)
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
        libc.handle(number, signal.SIG_DFL)
    libc.handle(signal.SIGINT, signal.default_int_handler)
    # Moved out of the way first, because their numbers may be the targets.
    last = max(_FD_NUMBERS[: len(fds)])
    moved = [os.dup(fd) if fd <= last else fd for fd in fds]
    while min(moved) <= last:
        moved = [os.dup(fd) if fd <= last else fd for fd in moved]
    null = os.open(os.devnull, os.O_RDWR)
    # No `strict`, because a keyword is one more tuple, and there may be no egress socket.
    for fd, number in ((null, 0), *zip(moved, _FD_NUMBERS)):  # noqa: B905
        os.dup2(fd, number, inheritable=number < _CHANNEL_FD)
    if last == _EGRESS_FD:
        sockets.egress_socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, _EGRESS_FD)
    return Channel(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, _CHANNEL_FD))


def _close_other_files(last: int) -> None:
    """Close the zygote's files. After the confinement, which needs some of them."""
    try:
        libc.close_range(last + 1)
    except OSError:  # before Linux 5.9
        # os.closerange would try a million.
        for fd in [int(entry.name) for entry in Path("/dev/fd").iterdir()]:
            if fd > last:
                with contextlib.suppress(OSError):
                    os.close(fd)


def _set_up_folder(root: str, fonts: tuple[str, ...]) -> None:
    """Its folder is home, temporary directory and working directory."""
    os.umask(0o077)
    for name, folder in {
        "HOME": "home",
        "TMPDIR": "tmp",
        "MPLCONFIGDIR": "home/matplotlib",
        "IPYTHONDIR": "home/.ipython",
        "PWD": "work",
    }.items():
        os.environ[name] = f"{root}/{folder}"
    tempfile.tempdir = None
    os.chdir(f"{root}/work")
    # Otherwise a Python started by the task would search for all fonts.
    for path in fonts:
        # Fewer objects, so fewer pages, than pathlib.
        os.symlink(path, f"{root}/home/matplotlib/{path.rpartition('/')[2]}")  # noqa: PTH211


def _reset_after_fork() -> None:
    """Undo settings of the zygote, and give each child its own random numbers."""
    gc.freeze()  # objects that the zygote created since its last collection
    gc.enable()
    if numpy := sys.modules.get("numpy"):  # like `numpy.random.seed()`, in a fifth of the time
        fresh = {
            "key": numpy.frombuffer(os.urandom(4 * _TWISTER_WORDS), numpy.uint32),
            "pos": _TWISTER_WORDS,
        }
        numpy.random.get_bit_generator().state = {"bit_generator": "MT19937", "state": fresh}
