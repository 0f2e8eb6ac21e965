"""A PID namespace for each child, where this machine allows it: the child sees and signals only
processes that it started. A namespace lives as long as its first process, its init. When the init
is killed, the kernel kills all others in it, and the init's end is reported only when none is left.

The child is not its own init, because an init ignores SIGABRT and SIGTERM and must reap strangers.
A fork of the zygote would copy page tables for milliseconds only to wait, so a small helper forks
the inits, one in advance.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import signal
import socket
from collections.abc import Callable
from typing import NoReturn

from mecapy_worker.shared import libc


class PidNamespaces:
    """Created in the zygote before it imports anything large, so that the helper is small.
    `missing`: why there are none, or empty. With them, the zygote also enters a network namespace
    without any network, one for all children (`network_missing`: why not).
    """

    def __init__(self) -> None:
        self.helper = 0
        self.missing = self.network_missing = _refusal()
        if self.missing:
            return
        _gain_privilege()
        try:
            libc.unshare(libc.CLONE_NEWNET)
        except OSError as error:
            self.network_missing = f"no network namespace can be made here: {error.strerror}"
        self._sock, helper_end = socket.socketpair()
        self.helper = os.fork()
        if self.helper == 0:
            self._sock.close()
            _bear_inits(helper_end)
        helper_end.close()

    def enter(self) -> int:
        """From now on every fork is born into a new namespace, that of this init's pidfd, which
        becomes readable once all in it are gone. There is no way back, because a process that is
        not root may not return to the machine's namespace; none is needed. OSError: impossible this
        time. EOFError: the helper has died, and with it every child.
        """
        self._sock.sendall(b"?")
        answer, fds, _, _ = socket.recv_fds(self._sock, 1, 1)
        if not answer:
            raise EOFError("the helper that makes PID namespaces is gone, and with it every child")
        if not fds:
            raise OSError(errno.EAGAIN, "no process could be made for a PID namespace")
        libc.setns(fds[0], libc.CLONE_NEWPID)
        return fds[0]

    def over(self) -> bool:
        """The helper has died, and every child with it."""
        return (
            bool(self.helper)
            and os.waitid(os.P_PID, self.helper, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        )

    def close(self) -> None:
        """End the helper, and so every namespace."""
        if self.helper:
            os.kill(self.helper, signal.SIGKILL)


def end(init: int) -> None:
    """Kill all processes in the namespace of this pidfd."""
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(init, signal.SIGKILL)


def mount_proc() -> None:
    """In a mount namespace: a /proc for our PID namespace. The old one shows other numbers than
    `getpid`.
    """
    libc.unshare(libc.CLONE_NEWNS)
    libc.mount("none", "/", "", libc.MS_REC | libc.MS_SLAVE)
    libc.mount("proc", "/proc", "proc", libc.MS_NOSUID | libc.MS_NODEV | libc.MS_NOEXEC)


def map_user(uid: int, gid: int) -> None:
    """In a new user namespace: keep the user that we were."""
    for name, content in (
        ("setgroups", "deny"),
        ("uid_map", f"{uid} {uid} 1"),
        ("gid_map", f"{gid} {gid} 1"),
    ):
        fd = os.open(f"/proc/self/{name}", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, content.encode())
        finally:
            os.close(fd)


def _gain_privilege() -> None:
    """A process that is not root may create namespaces inside a user namespace."""
    uid, gid = os.geteuid(), os.getegid()
    if uid:
        libc.unshare(libc.CLONE_NEWUSER)
        map_user(uid, gid)


def _refusal() -> str:
    """Why this machine refuses, found by trying all of it in a fork; empty if it does not
    refuse.
    """
    if not libc.LINUX:
        return "only Linux has PID namespaces"
    code = tried(_try_all)
    if not code:
        return ""
    return f"no PID namespace with a /proc of its own can be made here: {os.strerror(code)}"


def tried(step: Callable[[], int | None]) -> int:
    """The error's number, or 0, of doing it in a fork."""
    pid = os.fork()
    if pid:
        return abs(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    try:
        os._exit(step() or 0)
    except OSError as error:
        os._exit(error.errno or errno.EPERM)
    finally:
        os._exit(errno.ENOSYS)


def _try_all() -> int:
    _gain_privilege()
    # A right to read everything, which may have led us to our libraries, ends there.
    os.close(os.open(os.__file__, os.O_RDONLY))
    init = _new_init(os.pidfd_open(os.getpid()))
    libc.setns(init, libc.CLONE_NEWPID)  # by a pidfd: since Linux 5.8
    return tried(mount_proc)


def _bear_inits(sock: socket.socket) -> NoReturn:
    """The helper: creates an init for each received byte and returns its pidfd, or a refusal. At
    the end of the zygote it ends, and the inits with it.
    """
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        # The kernel reaps inits, and their orphans, which this process inherits.
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        sock = socket.socket(fileno=os.dup2(sock.detach(), 0))
        libc.close_range(1)
        helper_pidfd = os.pidfd_open(os.getpid())
        while True:
            init = _new_init_if_possible(helper_pidfd)
            if not sock.recv(1):
                break
            if init < 0 and (init := _new_init_if_possible(helper_pidfd)) < 0:
                sock.sendall(b"-")
                continue
            socket.send_fds(sock, [b"!"], [init])
            os.close(init)
    finally:
        os._exit(0)


def _new_init_if_possible(helper_pidfd: int) -> int:
    """-1 if the machine has no process or descriptor left, which may pass: the other children live
    on.
    """
    try:
        return _new_init(helper_pidfd)
    except OSError:
        return -1


def _new_init(helper_pidfd: int) -> int:
    """Its pidfd. It only waits, and dies with us; `mine`: our own pidfd, because it cannot ask for
    its parent.
    """
    pid = libc.fork_into(libc.CLONE_NEWPID)
    if pid == 0:
        try:
            libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
            if select.select([helper_pidfd], (), (), 0)[0]:
                os._exit(0)  # we died before it could ask to be ended with us
            libc.close_range(0)
            while True:
                signal.pause()
        finally:
            os._exit(1)
    try:
        return os.pidfd_open(pid)
    except OSError:
        os.kill(pid, signal.SIGKILL)
        raise
