"""seccomp: which system calls a child may make. It refuses the listed calls, and all that are newer
than the list with ENOSYS. The filter is a classic BPF program, built once in the zygote (`program`)
and installed in each child (`install`). It only takes rights away.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from mecapy_worker.sandbox.call_numbers import ABSENT, KEPT, NUMBERS, PRETENDED
from mecapy_worker.shared import libc

CLONE3 = 435
SOCKET, UTIMENSAT, SET_OPTION = (41, 198), (280, 88), (54, 208)
LAST_KNOWN = 469

_ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_LOAD, _JUMP_EQUAL, _JUMP_GREATER, _JUMP_SET, _AND, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x54, 0x06
_NR, _ARCH = 0, 4
_NEW_NAMESPACES = 0x7E020080  # every CLONE_NEW* flag
_X32_BIT = 0x40000000
# Linux's, wherever this is imported.
_SOL_SOCKET = 1
_SO_SNDBUF = 7
_SO_LINGER = 13
_TCP_ULP = 31
_MSG_FASTOPEN = 0x20000000
_SHARED_ANONYMOUS = 0x21  # of mmap's flags
# SECCOMP_FILTER_FLAG_SPEC_ALLOW: without it older kernels slow all code down, against speculation
# that a process of one task need not fear.
_SPEC_ALLOW = 4

Instruction = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class FilterOptions:
    """`egress`: the child may reach allowed hosts. `keep`: changes of rights and times of files are
    pretended. `counted`: a control group counts its memory; otherwise the child gets no memory that
    the limits cannot see.
    """

    egress: bool = False
    keep: bool = False
    counted: bool = True


_USUAL = FilterOptions()


def known() -> bool:
    """Whether there is a filter for this machine."""
    return libc.LINUX and libc.MACHINE in _ARCHITECTURES


def _argument(index: int) -> int:
    return 16 + 8 * index  # its low half; both architectures are little endian


def _refuse(code: int) -> Instruction:
    return (_RETURN, 0, 0, _ERRNO | code)


def _only(index: int, *values: int, mask: int = 0xFFFFFFFF) -> list[Instruction]:
    """Refuse unless this argument, under the mask, is one of the values."""
    checks: list[Instruction] = [(_LOAD, 0, 0, _argument(index)), (_AND, 0, 0, mask)]
    checks += [(_JUMP_EQUAL, len(values) - at, 0, value) for at, value in enumerate(values)]
    return [*checks, _refuse(errno.EPERM)]


def _never(index: int, *values: int) -> list[Instruction]:
    """Refuse when this argument is one of the values."""
    checks: list[Instruction] = [(_LOAD, 0, 0, _argument(index))]
    for value in values:
        checks += [(_JUMP_EQUAL, 0, 1, value), _refuse(errno.EPERM)]
    return checks


def _without(index: int, bits: int) -> list[Instruction]:
    """Refuse when this argument has one of the bits."""
    return [(_LOAD, 0, 0, _argument(index)), (_JUMP_SET, 0, 1, bits), _refuse(errno.EPERM)]


def _not_both(index: int, bits: int) -> list[Instruction]:
    """Refuse when this argument has all of the bits."""
    return [
        (_LOAD, 0, 0, _argument(index)),
        (_AND, 0, 0, bits),
        (_JUMP_EQUAL, 0, 1, bits),
        _refuse(errno.EPERM),
    ]


def _not_with(level: int, option: int, answer: int = errno.EPERM) -> list[Instruction]:
    """Refuse this option of a socket."""
    checks: list[Instruction] = [
        (_LOAD, 0, 0, _argument(1)),
        (_JUMP_EQUAL, 0, 3, level),
        (_LOAD, 0, 0, _argument(2)),
    ]
    return [*checks, (_JUMP_EQUAL, 0, 1, option), _refuse(answer)]


def _kept_times() -> list[Instruction]:
    """Pretends utimensat. But `Path.touch` creates the file only if setting its time to now fails,
    so that call must fail.
    """
    times, path = _argument(2), _argument(1)
    checks: list[Instruction] = [
        (_LOAD, 0, 0, times),
        (_JUMP_EQUAL, 0, 7, 0),
        (_LOAD, 0, 0, times + 4),
        (_JUMP_EQUAL, 0, 5, 0),
    ]
    checks += [
        (_LOAD, 0, 0, path),
        (_JUMP_EQUAL, 0, 2, 0),
        (_LOAD, 0, 0, path + 4),
        (_JUMP_EQUAL, 1, 0, 0),
    ]
    return [*checks, _refuse(errno.EPERM), _refuse(0)]


def _connections() -> dict[tuple[int, int], list[Instruction]]:
    """Rules for allowed hosts: TCP sockets may be created, but not connected by any call (`connect`
    is refused to all). Nor may a socket's close wait (SO_LINGER), because a socket can be sent to
    the worker, whose close would wait. Nor may it use another protocol (TCP_ULP) or IP options
    (routes, packet filters), which would expose much of the kernel for nothing.
    """
    tcp = (
        _only(0, socket.AF_INET, socket.AF_INET6)
        + _only(1, socket.SOCK_STREAM, mask=0xF)
        + _only(2, 0, socket.IPPROTO_TCP)
    )
    options = _only(1, _SOL_SOCKET, socket.IPPROTO_TCP)
    options += _not_with(_SOL_SOCKET, _SO_LINGER) + _not_with(socket.IPPROTO_TCP, _TCP_ULP)
    # Where the flags of sendto, sendmsg and sendmmsg stand.
    sends = {(44, 206): 3, (46, 211): 2, (307, 269): 3}
    return {SOCKET: tcp, SET_OPTION: options} | {
        call: _without(flags, _MSG_FASTOPEN) for call, flags in sends.items()
    }


def _uncounted(options: list[Instruction]) -> dict[tuple[int, int], list[Instruction]]:
    """Refuses shared memory without a file, which would remain when no process maps it any more.
    Pretends larger socket buffers. `options`: other rules of setsockopt.
    """
    return {
        (9, 222): _not_both(3, _SHARED_ANONYMOUS),
        SET_OPTION: _not_with(_SOL_SOCKET, _SO_SNDBUF, 0) + options,
    }


def _rules(
    which: int, protect: Sequence[int], chosen: FilterOptions
) -> dict[int, list[Instruction]]:
    """Calls that depend on their arguments. `protect`: processes to protect by number where
    Landlock cannot (before version 6).
    """
    # No datagrams: such a socket could go elsewhere.
    pair = _only(0, socket.AF_UNIX) + _only(1, socket.SOCK_STREAM, socket.SOCK_SEQPACKET, mask=0xF)
    clone: list[Instruction] = [
        (_LOAD, 0, 0, _argument(0)),
        (_JUMP_SET, 0, 1, _NEW_NAMESPACES),
        _refuse(errno.EPERM),
    ]
    rules = {
        (53, 199): pair,
        (56, 220): clone,
        # TIOCSTI and TIOCLINUX type into a terminal; FIOSETOWN, SIOCSPGRP: as below
        (16, 29): _never(1, 0x5412, 0x541C, 0x8901, 0x8902),
        # F_SETOWN, F_SETSIG, F_SETOWN_EX: signals to anybody; F_SETLEASE: others wait to open a
        # file; F_NOTIFY: what others do in a folder
        (72, 25): _never(1, 8, 10, 15, 1024, 1026),
        (135, 92): _only(0, 0, 0xFFFFFFFF),  # personality
        # prctl: its memory stays visible to the watch
        (157, 167): _never(0, libc.PR_SET_DUMPABLE, libc.PR_SET_SECCOMP),
        (302, 261): _only(0, 0),  # prlimit64 and the scheduler's calls: only for the caller itself
        (203, 122): _only(0, 0),
        (144, 119): _only(0, 0),
        (142, 118): _only(0, 0),
        (314, 274): _only(0, 0),
        (141, 140): _only(0, 0) + _only(1, 0),  # setpriority
        (251, 30): _only(0, 1) + _only(1, 0),  # ioprio_set
    }
    if protect:
        # kill, tkill and rt_sigqueueinfo accept the number of any thread for its process, and a
        # worker's threads change. The others name the process as well: the cell uses
        # `kill_by_thread`.
        rules |= {
            (62, 129): _only(0, 0),
            (200, 130): [_refuse(errno.EPERM)],
            (129, 138): [_refuse(errno.EPERM)],
        }
        rules |= {(234, 131): _never(0, *protect), (297, 240): _never(0, *protect)}
    if chosen.keep:
        rules[UTIMENSAT] = _kept_times()
    if chosen.egress:
        rules |= _connections()
    if not chosen.counted:
        rules |= _uncounted(rules.get(SET_OPTION, []))
    return {numbers[which]: body for numbers, body in rules.items()}


def program(
    protect: Sequence[int] = (),
    machine: str = libc.MACHINE,
    *,
    options: FilterOptions = _USUAL,
) -> bytes:
    """The filter for this machine. OSError when its calls are not known to us."""
    if machine not in _ARCHITECTURES:
        raise OSError(errno.ENOSYS, f"no table of system calls for {machine}")
    arch, which = _ARCHITECTURES[machine]
    code: list[Instruction] = [
        (_LOAD, 0, 0, _ARCH),
        (_JUMP_EQUAL, 1, 0, arch),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NR),
    ]
    if machine == "x86_64":
        code += [(_JUMP_SET, 0, 1, _X32_BIT), (_RETURN, 0, 0, _KILL)]
    code += [(_JUMP_GREATER, 0, 1, LAST_KNOWN), _refuse(errno.ENOSYS)]
    flat = {
        number[which]: errno.ENOSYS if name in ABSENT else errno.EPERM
        for name, number in NUMBERS.items()
    }
    flat |= {
        number[which]: 0
        for number in (*PRETENDED.values(), *(KEPT.values() if options.keep else ()))
    } | {CLONE3: errno.ENOSYS}
    for number, answer in flat.items():
        if number is not None and not (options.egress and number == SOCKET[which]):
            code += [(_JUMP_EQUAL, 0, 1, number), _refuse(answer)]
    for number, body in _rules(which, protect, options).items():
        code += [(_JUMP_EQUAL, 0, len(body) + 1, number), *body, (_RETURN, 0, 0, _ALLOW)]
    code.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in code)


class _FilterProgram(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


class Filter:
    """A program laid out for the kernel, once, in the zygote."""

    def __init__(self, code: bytes) -> None:
        self._code = ctypes.create_string_buffer(code, len(code))
        self._program = _FilterProgram(len(code) // 8, ctypes.addressof(self._code))
        self.address = ctypes.addressof(self._program)


def kill_by_thread(pid: int, number: int) -> None:
    """`os.kill` where processes are protected by number."""
    if pid > 0:
        libc.signal_main_thread(pid, number)
    else:
        libc.kill(pid, number)


def install(filter_: Filter) -> None:
    """Apply the filter to this thread and all that it starts. Needs no_new_privs."""
    number = {"x86_64": 317, "aarch64": 277}[libc.MACHINE]
    try:
        libc.syscall(number, 1, _SPEC_ALLOW, filter_.address)
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EINVAL):
            raise
        libc.prctl(libc.PR_SET_SECCOMP, 2, filter_.address)
