"""The process children are forked from: the scientific stack imported once, no secret, no user
code.

Exec'ed by `zygote` with an empty environment; everything it hears comes over one control socket.
It forks children, is the parent (or subreaper) of all their offspring, ends a whole process group
at once, and reports each end. It stays single-threaded, for a fork copies only one thread. When the
control socket closes, it ends all and itself. Next: `child_bootstrap`.
"""

from __future__ import annotations

import contextlib
import gc
import multiprocessing
import os
import platform
import select
import selectors
import signal
import socket
import sys
import traceback
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from mecapy_worker.child import sockets
from mecapy_worker.child.child_bootstrap import ChildSpec, live
from mecapy_worker.sandbox import confine, landlock, pid_namespaces, seccomp
from mecapy_worker.shared import libc
from mecapy_worker.shared.frames import Channel, Frame
from mecapy_worker.zygote import host_capabilities, hugepages, immortal

_CHILDREN_BYTES = 64 << 10
_RESERVED_BYTES = 128 << 20  # the default preload makes 90 MB of small objects


@dataclass(slots=True)
class _Known:
    """A living child. `status` once its first process is gone and only its offspring is still to be
    reaped.

    `init`: pidfd of its PID namespace; -1 where it has none.
    """

    id: str
    init: int
    status: int | None = None


class Zygote:
    """Lives until its control socket closes."""

    def __init__(
        self, control: Channel, start: dict[str, Any], namespaces: pid_namespaces.PidNamespaces
    ) -> None:
        self.control = control
        self.start = start
        self.namespaces = namespaces
        self.selector = selectors.DefaultSelector()
        self.children: dict[int, _Known] = {}
        readable = host_capabilities.readable_paths(Path(text) for text in start["readable"])
        usable = host_capabilities.usable_by_others(
            readable, [Path(start["base"]), *map(Path, start["python_path"])]
        )
        self.search = not usable and landlock.version() > 0
        self.own_user = os.geteuid() == 0 and (usable or self.search)
        shielded = host_capabilities.to_shield(
            int(start["worker_pid"]), inside=not namespaces.missing
        )
        egress = bool(start["egress"])
        self.rules = confine.Confinement(
            shared=host_capabilities.shared_rules(readable),
            memory_bytes=int(start["memory_bytes"]),
            disk_bytes=int(start["disk_bytes"]),
            processes=int(start["processes"]),
            data_bytes=host_capabilities.data_bytes(),
            filter=host_capabilities.system_calls(shielded, egress=egress),
            keeping_filter=host_capabilities.system_calls(shielded, egress=egress, keep=True),
            shields=bool(shielded),
            no_pid_namespace=namespaces.missing,
            search=self.search and self.own_user,
            neighbours=host_capabilities.threads_of(os.getuid()),
        )
        self.fonts = tuple(map(str, Path(start["shared"], "matplotlib").glob("fontlist-*.json")))
        self.orphanage = _opened(f"/proc/self/task/{os.getpid()}/children")
        # For good, and so for every child; what we hold ourselves we keep, to give children a user
        # and a /dev/shm of their own.
        with contextlib.suppress(OSError):
            libc.bound_capabilities(
                libc.CAP_DAC_READ_SEARCH if self.search and self.own_user else None
            )

    def serve(self) -> None:
        wake, written = socket.socketpair()
        wake.setblocking(False)
        written.setblocking(False)
        signal.set_wakeup_fd(written.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _ignore)
        with self.selector as selector:
            selector.register(self.control.sock, selectors.EVENT_READ, "control")
            selector.register(wake, selectors.EVENT_READ, "wake")
            while True:
                for key, _ in selector.select():
                    if key.data == "wake":
                        wake.recv(4096)
                    if key.data != "control" and not self.namespaces.over():
                        self.reap()
                    elif key.data != "control" or (frames := self.control.receive_ready()) is None:
                        signal.set_wakeup_fd(-1)
                        return
                    else:
                        for frame in frames:
                            self.obey(frame)

    def obey(self, frame: Frame) -> None:
        if frame.kind == "fork":
            self.fork(frame)
            return
        pid = next(
            (pid for pid, known in self.children.items() if known.id == frame.header["id"]), None
        )
        if pid is None:
            return  # it ended meanwhile
        with contextlib.suppress(ProcessLookupError):
            if frame.kind == "kill":
                self.kill(pid)
            elif frame.kind == "signal" and self.children[pid].status is None:
                libc.signal_main_thread(pid, int(frame.header["number"]))

    def fork(self, frame: Frame) -> None:
        asked = frame.header
        birth = ChildSpec(
            asked["module"],
            asked["root"],
            asked["uid"] if self.own_user else None,
            self.rules,
            self.fonts,
            frame.fds,
        )
        init = pid = -1
        try:
            init = -1 if self.namespaces.missing else self.namespaces.enter()
            pid = os.fork()
        except (
            OSError
        ) as error:  # no process, or no memory, left: that one's misfortune, and nobody else's
            if init >= 0:
                pid_namespaces.end(init)
                os.close(init)
            self.control.send("fork_failed", {"id": asked["id"], "error": str(error)})
            return
        finally:
            if pid:
                for fd in frame.fds:
                    os.close(fd)
        if pid == 0:
            live(birth)
        if init >= 0:
            self.selector.register(init, selectors.EVENT_READ, "init")
        confine.harmless(os.setpgid, pid, pid)  # done by both, for neither can know who is first
        self.children[pid] = _Known(asked["id"], init)
        self.control.send("forked", {"id": asked["id"], "pid": pid})

    def reap(self) -> None:
        """Collect whoever died. A child whose first process is gone takes its whole group with it,
        and only then is reported.
        """
        for pid, known in list(self.children.items()):
            if known.status is None:
                # Still a zombie while its group is killed, so the group's number cannot belong to
                # anybody else.
                if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                    continue
                self.kill(pid)
                known.status = os.waitpid(pid, 0)[1]
            if self._group_is_gone(pid) and self._namespace_is_gone(known.init):
                del self.children[pid]
                self.control.send("exit", {"id": known.id, **_ending(known.status)})
        self._reap_strays()

    def kill(self, pid: int) -> None:
        """A child, its group, and all in its namespace."""
        if (init := self.children[pid].init) >= 0:
            pid_namespaces.end(init)
        os.killpg(pid, signal.SIGKILL)

    def _namespace_is_gone(self, init: int) -> bool:
        if init >= 0:
            if not select.select([init], (), (), 0)[0]:
                return False
            self.selector.unregister(init)
            os.close(init)
        return True

    def _group_is_gone(self, pgid: int) -> bool:
        try:
            while os.waitpid(-pgid, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pgid, signal.SIGKILL)
        return False

    def _reap_strays(self) -> None:
        """Whoever left its group (possible only without seccomp) comes to us, the subreaper, when
        its parent dies: end it.
        """
        orphans = (
            os.pread(self.orphanage, _CHILDREN_BYTES, 0).split() if self.orphanage >= 0 else ()
        )
        for pid in map(int, orphans):
            if pid in self.children or pid == self.namespaces.helper:
                continue
            with contextlib.suppress(OSError):
                if os.getpgid(pid) not in self.children:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, os.WNOHANG)

    def end(self) -> None:
        for pid in self.children:
            with contextlib.suppress(OSError):
                self.kill(pid)
        self.namespaces.close()
        with contextlib.suppress(ChildProcessError):
            while True:
                os.wait()


def _opened(path: str) -> int:
    """A descriptor to read from, again and again; -1 where there is no such file."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _ignore(_number: int, _frame: object) -> None:
    """A handler must stand for the wake-up descriptor to be written."""


def _ending(status: int) -> dict[str, int]:
    return (
        {"signal": os.WTERMSIG(status)}
        if os.WIFSIGNALED(status)
        else {"code": os.waitstatus_to_exitcode(status)}
    )


def _prepare(start: dict[str, Any]) -> dict[str, str]:
    """Import everything children will need; package versions by name. A package that is not there
    is not an error.
    """
    for option, value in ((libc.PR_SET_CHILD_SUBREAPER, 1), (libc.PR_SET_DUMPABLE, 0)):
        with contextlib.suppress(OSError):  # macOS, old gVisor
            libc.prctl(option, value)
    if seccomp.known():
        sockets.install(allowed=bool(start["egress"]))
    # what is imported stays: looking through it again and again is a tenth of our start
    gc.disable()
    reserved = hugepages.reserve(_RESERVED_BYTES)
    import_module("mecapy_worker.sandbox.probe")
    multiprocessing.set_start_method(
        "fork", force=True
    )  # forkserver, Python 3.14's default, needs a unix socket
    import_module(start["child_module"]).prepare(list(start["preload"]))
    gc.collect()
    immortal.make()
    # what we made stays shared: collections in a child would touch, and so copy, every page
    gc.freeze()
    hugepages.fill()
    del reserved
    hugepages.gather()
    hugepages.join()
    # OpenBLAS and its like end their threads before a fork and start them when next needed: one
    # fork makes us single-threaded.
    if (pid := os.fork()) == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return {
        name: str(getattr(sys.modules[name], "__version__", ""))
        for name in start["preload"]
        if name in sys.modules
    }


def main(namespaces: pid_namespaces.PidNamespaces) -> None:
    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # a terminal's Ctrl-C is for the worker, which then closes the control socket
    control = Channel(socket.socket(fileno=int(sys.argv[1])))
    os.set_inheritable(control.sock.fileno(), False)
    first = control.receive()
    if first is None:
        return
    try:
        packages = _prepare(first.header)
        zygote = Zygote(control, first.header, namespaces)
    except BaseException:
        control.send("failed", {"error": traceback.format_exc()})
        raise SystemExit(1) from None
    about = {
        "python": platform.python_version(),
        "packages": packages,
        "threads": host_capabilities.own_threads(),
    }
    about |= {
        "own_user": zygote.own_user,
        "landlock": landlock.version(),
        "fonts": [Path(path).name for path in zygote.fonts],
    }
    control.send("up", about)
    try:
        zygote.serve()
    finally:
        zygote.end()
