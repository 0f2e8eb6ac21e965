"""Without a list of allowed hosts nothing is different: the filter, the descriptors; and what a
cell is told that wants the network.
"""

from __future__ import annotations

import errno
import struct
from collections.abc import Iterator

import pytest
from running import run

from mecapy_worker.pool.pool import Pool
from mecapy_worker.sandbox import seccomp

pytestmark = pytest.mark.asyncio(loop_scope="module")

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
WHICH = {"x86_64": 0, "aarch64": 1}
ALLOW, EPERM = 0x7FFF0000, 0x00050000 | errno.EPERM
OUTWARD = {
    "socket": (41, 198),
    "sendto": (44, 206),
    "sendmsg": (46, 211),
    "sendmmsg": (307, 269),
    "setsockopt": (54, 208),
}
FASTOPEN, NONBLOCK = 0x20000000, 0x800


def answered(program: bytes, machine: str, number: int, *arguments: int) -> int:
    """What the filter says to a call: the program carried out as the kernel does it."""
    data = struct.pack(
        "<IIQ6Q", number, ARCHITECTURES[machine], 0, *[*arguments, 0, 0, 0, 0, 0, 0][:6]
    )
    code = list(struct.iter_unpack("<HBBI", program))
    at, value = 0, 0
    while True:
        operation, yes, no, operand = code[at]
        at += 1
        match operation:
            case 0x20:
                (value,) = struct.unpack_from("<I", data, operand)
            case 0x54:
                value &= operand
            case 0x06:
                return operand
            case _:
                at += (
                    yes
                    if {0x15: value == operand, 0x25: value > operand, 0x45: bool(value & operand)}[
                        operation
                    ]
                    else no
                )


def tried() -> Iterator[tuple[int, ...]]:
    """Arguments that any of the filter's rules may ask about."""
    values = (
        0,
        1,
        2,
        3,
        6,
        10,
        13,
        16,
        17,
        31,
        132,
        0x4000,
        FASTOPEN,
        FASTOPEN | 0x4000,
        NONBLOCK | 1,
        0xFFFFFFFF,
    )
    for first in values:
        for second in values:
            yield from ((first, second, third, third) for third in values)


@pytest.mark.parametrize("machine", ARCHITECTURES)
async def test_the_same_filter_but_for_sockets(machine: str) -> None:
    """A filter for allowed hosts answers every call as the other does, but for making TCP sockets,
    sending what would connect, and what may be set on a socket.
    """
    without, egress = (
        seccomp.program(machine=machine),
        seccomp.program(machine=machine, options=seccomp.FilterOptions(egress=True)),
    )
    special = {numbers[WHICH[machine]]: name for name, numbers in OUTWARD.items()}
    few = [(0,) * 6, (1, 2, 3, 4, 5, 6), (0xFFFFFFFF,) * 6]
    for number in set(range(seccomp.LAST_KNOWN + 3)) - special.keys():
        assert all(
            answered(without, machine, number, *args) == answered(egress, machine, number, *args)
            for args in few
        ), number
    for number, name in special.items():
        for args in tried():
            before, now = (
                answered(program, machine, number, *args) for program in (without, egress)
            )
            assert before == (EPERM if name == "socket" else ALLOW), (name, args)
            flags = args[2] if name == "sendmsg" else args[3]
            refused = {
                "socket": args[0] not in (2, 10) or args[1] & 0xF != 1 or args[2] not in (0, 6),
                "setsockopt": args[1] not in (1, 6) or args[1:3] in ((1, 13), (6, 31)),
            }.get(name, bool(flags & FASTOPEN))
            assert now == (EPERM if refused else ALLOW), (name, args)


async def test_a_child_has_no_door(pool: Pool) -> None:
    """Its descriptors are as ever: nothing, its output twice, its channel, and where it says at
    which line it stands.
    """
    code = """
import os
result = {}
for fd in range(4096):
    try: result[fd] = os.readlink(f'/proc/self/fd/{fd}').partition(':')[0].rpartition('/')[2]
    except OSError: pass
"""
    assert (await run(pool, code)).result == {
        "0": "null",
        "1": "pipe",
        "2": "pipe",
        "3": "socket",
        "4": ".where",
    }


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("socket.socket()", "PermissionError"),
        ("socket.create_connection(('127.0.0.1', 80))", "PermissionError"),
        ("socket.create_connection(('data.example.org', 443))", "gaierror"),
        ("import urllib.request\nurllib.request.urlopen('http://data.example.org')", "URLError"),
    ],
)
async def test_what_a_cell_is_told(pool: Pool, code: str, kind: str) -> None:
    """That there is no network, what to do instead, and who can change it; by the errors that it
    always was.
    """
    (told,) = (await run(pool, f"import socket\n{code}")).headers("outcome")
    said = told["message"]
    assert (
        told["error"] == kind
        and "a task has no network here" in said
        and "`--files`" in said
        and "MECAPY_EGRESS" in said
    ), said


async def test_what_needs_no_network_works(pool: Pool) -> None:
    """Pairs of sockets, addresses that are numbers, and asking for a number's form only."""
    code = """
import socket
a, b = socket.socketpair()
a.send(b'x')
result = [b.recv(1).decode(), socket.getaddrinfo('10.1.2.3', 80)[0][4][0]]
try: socket.getaddrinfo('name', 1, flags=socket.AI_NUMERICHOST)
except OSError as error: result.append('no network' in str(error))
"""
    assert (await run(pool, code)).result == ["x", "10.1.2.3", False]
