"""The process that children are forked from: the scientific stack imported once, no secret, no user
code. The worker starts it with an empty environment and controls it over one socket. It forks
children, is the parent (or subreaper) of all their offspring, ends a whole process group at once,
and reports each end. It stays single-threaded, because a fork copies only one thread. When the
control socket closes, it ends all children and itself.
"""

from __future__ import annotations

import contextlib
import os
import platform
import select
import selectors
import signal
import socket
import sys
import traceback
from dataclasses import dataclass, replace
from pathlib import Path

from mecapy_worker.child.child_bootstrap import ChildSpec, run_child
from mecapy_worker.sandbox import confine, landlock, own_root, pid_namespaces, seccomp
from mecapy_worker.shared import libc
from mecapy_worker.shared.channel import Channel
from mecapy_worker.shared.frames import Frame, FrameError
from mecapy_worker.shared.message_codec import message_of, read
from mecapy_worker.shared.messages import Message
from mecapy_worker.shared.zygote_messages import (
    ChildExited,
    ChildForked,
    ForkChild,
    ForkFailed,
    KillChild,
    SignalChild,
    StartZygote,
    ZygoteBroken,
    ZygoteReady,
)
from mecapy_worker.zygote import host_capabilities
from mecapy_worker.zygote.prepare import prepare

_CHILDREN_BYTES = 64 << 10
_COMMANDS: dict[str, type[Message]] = {one.tag: one for one in (ForkChild, KillChild, SignalChild)}


@dataclass(slots=True)
class _ForkedChild:
    """`status` once its first process is gone and only its offspring must still be reaped. `init`:
    pidfd of its PID namespace; -1 if it has none.
    """

    id: str
    init: int
    status: int | None = None


class Zygote:
    """Lives until its control socket closes."""

    def __init__(
        self, control: Channel, start: StartZygote, namespaces: pid_namespaces.PidNamespaces
    ) -> None:
        self.control = control
        self.namespaces = namespaces
        self.selector = selectors.DefaultSelector()
        self.children: dict[int, _ForkedChild] = {}
        readable = host_capabilities.readable_paths(map(Path, start.readable))
        places = (*readable, *map(Path, filter(None, [start.environments, *start.devices])))
        no_own_root = namespaces.missing or own_root.enter(places, start.base)
        usable = host_capabilities.usable_by_others(
            readable, [*map(Path, start.python_path)], Path(start.base)
        )
        search = not usable and landlock.version() > 0
        self.own_user = os.geteuid() == 0 and (usable or search)
        search = search and self.own_user
        self.rules = _rules(start, namespaces, readable, no_own_root, search=search)
        self.fonts = tuple(map(str, Path(start.shared, "matplotlib").glob("fontlist-*.json")))
        self.orphanage = _opened(f"/proc/self/task/{os.getpid()}/children")
        # For good, and for every child. Rights that we hold stay, to give children a user and a
        # /dev/shm.
        with contextlib.suppress(OSError):
            libc.bound_capabilities(libc.CAP_DAC_READ_SEARCH if self.rules.search else None)

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
        message = message_of(frame, _COMMANDS)
        match message:
            case ForkChild():
                self.fork(message, frame.fds)
            case KillChild(id):
                if (pid := self._pid_of(id)) is not None:
                    with contextlib.suppress(ProcessLookupError):
                        self.kill(pid)
            case SignalChild(id, number):
                pid = self._pid_of(id)
                if pid is not None and self.children[pid].status is None:
                    with contextlib.suppress(ProcessLookupError):
                        libc.signal_main_thread(pid, number)
            case _:
                raise FrameError(f"an unexpected {frame.kind!r} frame")

    def _pid_of(self, id: str) -> int | None:
        """None: it has ended meanwhile."""
        return next((pid for pid, child in self.children.items() if child.id == id), None)

    def fork(self, request: ForkChild, fds: tuple[int, ...]) -> None:
        uid = request.uid if self.own_user else None
        spec = ChildSpec(
            request.module, request.root, uid, request.warm,
            request.environment, request.ahead, request.gpu, request.devices,
            self.rules, self.fonts, fds,
        )  # fmt: skip
        init = pid = -1
        try:
            init = -1 if self.namespaces.missing else self.namespaces.enter()
            pid = os.fork()
        except OSError as error:  # no process or memory left: only this child fails
            if init >= 0:
                pid_namespaces.end(init)
                os.close(init)
            self.control.send(ForkFailed(request.id, str(error)))
            return
        finally:
            if pid:
                for fd in fds:
                    os.close(fd)
        if pid == 0:
            run_child(spec)
        if init >= 0:
            self.selector.register(init, selectors.EVENT_READ, "init")
        confine.harmless(os.setpgid, pid, pid)  # both do it, because neither knows which is first
        self.children[pid] = _ForkedChild(request.id, init)
        self.control.send(ChildForked(request.id, pid))

    def reap(self) -> None:
        """Reap all that have died. A child whose first process is gone takes its whole group with
        it, and only then is reported.
        """
        for pid, child in list(self.children.items()):
            if child.status is None:
                # Still a zombie while its group is killed, so that no other process can have the
                # group's number.
                if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                    continue
                self.kill(pid)
                child.status = os.waitpid(pid, 0)[1]
            if self._group_is_gone(pid) and self._namespace_is_gone(child.init):
                del self.children[pid]
                self.control.send(_exited(child.id, child.status))
        self._reap_strays()

    def kill(self, pid: int) -> None:
        """Kill a child, its group, and all in its namespace."""
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
        """A process that left its group (possible only without seccomp) becomes ours, the
        subreaper's, when its parent dies: end it.
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
    """A descriptor that can be read repeatedly; -1 if there is no such file."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return -1


def _ignore(_number: int, _frame: object) -> None:
    """The wake-up descriptor is written only if the signal has a handler."""


def _exited(id: str, status: int) -> ChildExited:
    if os.WIFSIGNALED(status):
        return ChildExited(id, signal=os.WTERMSIG(status))
    return ChildExited(id, code=os.waitstatus_to_exitcode(status))


def _rules(
    start: StartZygote,
    namespaces: pid_namespaces.PidNamespaces,
    readable: tuple[Path, ...],
    no_own_root: str,
    *,
    search: bool,
) -> confine.Confinement:
    """What every child may do, found once."""
    shielded = host_capabilities.to_shield(start.worker_pid, inside=not namespaces.missing)
    kind = seccomp.FilterOptions(egress=start.egress, counted=start.memory_counted)
    return confine.Confinement(
        shared=host_capabilities.shared_rules(readable),
        memory_bytes=start.memory_bytes,
        disk_bytes=start.disk_bytes,
        processes=start.processes,
        data_bytes=host_capabilities.data_bytes(),
        filter=host_capabilities.system_calls(shielded, kind),
        keeping_filter=host_capabilities.system_calls(shielded, replace(kind, keep=True)),
        shields=bool(shielded),
        no_pid_namespace=namespaces.missing,
        no_own_root=no_own_root,
        no_network_namespace=namespaces.network_missing,
        search=search,
        neighbours=host_capabilities.threads_of(os.getuid()),
    )


def main(namespaces: pid_namespaces.PidNamespaces) -> None:
    # a terminal's Ctrl-C is for the worker, which then closes the control socket
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = Channel(socket.socket(fileno=int(sys.argv[1])))
    os.set_inheritable(control.sock.fileno(), False)
    first = control.receive()
    if first is None:
        return
    try:
        start = read(StartZygote, first.header)
        packages = prepare(start)
        zygote = Zygote(control, start, namespaces)
    except BaseException:
        control.send(ZygoteBroken(traceback.format_exc()))
        raise SystemExit(1) from None
    control.send(
        ZygoteReady(
            platform.python_version(),
            packages,
            host_capabilities.own_threads(),
            zygote.own_user,
            landlock.version(),
            tuple(Path(path).name for path in zygote.fonts),
            host_capabilities.loaded(),
        )
    )
    try:
        zygote.serve()
    finally:
        zygote.end()
