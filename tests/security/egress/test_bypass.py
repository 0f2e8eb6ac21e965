"""No way round the list of allowed hosts: other system calls, lies to the broker, floods of
questions.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mecapy_worker.egress import connections

from ..attacks import CALLS, RUN, STOPPED, WHICH
from ..ground import Ground, until
from ..outside import (
    HTTP,
    SERVERS,
    Outside,
)
from .conftest import FETCH, said

if sys.platform != "linux":
    pytest.skip("nothing confines a child here", allow_module_level=True)


# What goes round Python's `socket`: a socket is made, and must not be connected by anything. `made`
# is one; `at` an allowed place.
AROUND = {
    "connect": "call('connect', made(), at, 16)",
    "connect of a connected one": "s = socket.create_connection(('127.0.0.1', 8080)); "
                                  "call('connect', s.fileno(), at, 16)",
    "dissolving a connection": "s = socket.create_connection(('127.0.0.1', 8080)); "
                               "call('connect', s.fileno(), ctypes.create_string_buffer(16), 16)",
    "connect by the library under Python's": "import _socket\n_socket.socket(2, "
                                             "1).connect(('127.0.0.1', 8080))",
    "TCP fast open": "call('sendto', made(), b'GET', 3, 0x20000000 | 0x4000, at, 16)",
    "TCP fast open by sendmsg": "call('sendmsg', made(), message, 0x20000000 | 0x4000)",
    "TCP fast open by sendmmsg": "call('sendmmsg', made(), message, 1, 0x20000000 | 0x4000)",
    "TCP fast open by connect": "s = socket.socket(); s.setsockopt(6, 30, 1); call('connect', "
                                "s.fileno(), at, 16)",
    "another address with the data": "s = socket.socket(); os.set_blocking(s.fileno(), False); "
                                     "call('sendto', s.fileno(), b'GET', 3, 0x4000, at, 16)",
    "listening": "s = socket.socket(); call('listen', s.fileno(), 5)",
    "binding": "socket.socket().bind(('127.0.0.1', 0))",
    "accepting": "call('accept', made(), 0, 0)",
    "UDP": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))",
    "UDP over IPv6": "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)",
    "multipath TCP": "socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)",
    "SCTP": "socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)",
    "raw packets": "socket.socket(socket.AF_INET, socket.SOCK_RAW, 1)",
    "netlink": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "packet socket": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "vsock": "socket.socket(40, socket.SOCK_STREAM)",
    "unix socket": "socket.socket(socket.AF_UNIX)",
    "another protocol over TCP": "s = socket.create_connection(('127.0.0.1', 8080)); "
                                 "s.setsockopt(6, 31, b'tls')",
    "another way to the same place": "s = socket.create_connection(('127.0.0.1', 8080)); "
                                     "s.setsockopt(0, 4, bytes([131, 7, 4, 127, 0, 0, 1, 0]))",
    "a close that waits": "socket.socket().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, "
                          "struct.pack('ii', 1, 1000))",
    "io_uring": "call('io_uring_setup', 8, ctypes.create_string_buffer(120))",
}  # fmt: skip
AROUND_TOOLS = """
import struct, ctypes, socket
at = ctypes.create_string_buffer(
    struct.pack('=HH4s8x', 2, socket.htons(8080), socket.inet_aton('127.0.0.1')), 16)
part = ctypes.create_string_buffer(b'GET', 3)
vector = ctypes.create_string_buffer(struct.pack('=QQ', ctypes.addressof(part), 3), 16)
message = ctypes.create_string_buffer(struct.pack(
    '=QI4xQQQQi4xI4x', ctypes.addressof(at), 16, ctypes.addressof(vector), 1, 0, 0, 0, 0), 64)
kept = []
def made():
    kept.append(socket.socket()); kept[-1].setblocking(False)
    return kept[-1].fileno()
"""
MORE_CALLS = {
    "sendto": (44, 206)[WHICH],
    "sendmsg": (46, 211)[WHICH],
    "sendmmsg": (307, 269)[WHICH],
}
# Not done is not the same as refused: such data goes nowhere on a socket that is not connected.
NOWHERE = {"another address with the data": "EPIPE"}


def test_nothing_goes_round_it(here: Ground) -> None:
    """Sockets may be made now; by no call can one be connected, listen,
    or carry anything but TCP.
    """
    told = said(
        here,
        RUN.replace("\ndef tried", AROUND_TOOLS + "\ndef tried") + "said",
        inputs={"calls": CALLS | MORE_CALLS, "attacks": AROUND},
    )
    assert {
        name: how for name, how in told.items() if how not in STOPPED and NOWHERE.get(name) != how
    } == {}


def test_going_round_it_is_real(world: Outside, tmp_path: Path) -> None:
    """Unconfined, in the same network, each of these is done. What this kernel does not have is no
    proof.
    """
    attacks = {name: code for name, code in AROUND.items() if name not in NOWHERE}
    script = (
        f"calls, attacks = {CALLS | MORE_CALLS!r}, "
        f"{attacks!r}\n"
        f"{RUN.replace(chr(10) + 'def tried', AROUND_TOOLS + chr(10) + 'def tried')}\n"
        f"import json; print(json.dumps(said))"
    )
    done = subprocess.run(
        [*world.launcher, sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=True,
    )
    told = json.loads(done.stdout.splitlines()[-1])
    assert {name: how for name, how in told.items() if how in ("EPERM", "EACCES")} == {}
    assert (
        sum(how in ("succeeded", "EINPROGRESS", "EAGAIN", "EISCONN") for how in told.values()) > 12
    ), told


LIES = """
import array, json, os, socket
from mecapy_worker.child.hooks import sockets as network
def ask(message, *fds, answers=True):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(200)
    beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [theirs.fileno(), *fds]))]
    network.egress_socket.sendmsg([message], beside)
    theirs.close()
    if not answers: return None
    data, got, _, _ = socket.recv_fds(ours, 65536, 20)
    ours.close()
    return [json.loads(data) if data else None, len(got)]
told = [ask(json.dumps(question).encode()) for question in [
    [], {}, 'resolve', ['resolve'], ['resolve', 5, 5], ['resolve', None, 80],
    ['connect', '127.0.0.1', '8080'], ['connect', '127.0.0.1', 10**30],
    ['connect', '127.0.0.1', -1], ['connect', 'data.example.org', 8080], ['open', '/etc/shadow', 0],
    ['fd', '3', 3], ['resolve', '\\ud800', 8080], ['resolve', 'a' * 3000, 8080],
    ['resolve', 'a..b', 8080], ['resolve', 'data.example.org\\0.evil', 8080],
    ['resolve', '.wild.example.org', 8080], ['resolve', 'a\\0.wild.example.org', 8080],
    ['resolve', ' .wild.example.org', 8080], ['resolve', '-.wild.example.org', 8080],
    ['resolve', 'a/../wild.example.org', 8080], ['resolve', 'x' * 64 + '.wild.example.org', 8080],
    ['resolve', 'x.' * 200 + 'wild.example.org', 8080],
]]
told += [ask(b'{'), ask(b'[' * 4000), ask(bytes(range(256)))]
# Descriptors that are no place for an answer: files, pipes, a TCP socket, many at once, none.
r, w = os.pipe()
tcp = socket.create_connection(('127.0.0.1', 8080))
for fd in (r, w, os.open('x', os.O_CREAT | os.O_RDWR), tcp.fileno()):
    network.egress_socket.sendmsg([b'["resolve", "data.example.org", 8080]'],
                         [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [fd]))])
for _ in range(50):
    ask(b'["connect", "127.0.0.1", 8080]', r, w, tcp.fileno(), answers=False)
    network.egress_socket.sendmsg([b'nobody to answer'])
peers = []
for _ in range(5):
    (answer, count) = ask(b'["connect", "127.0.0.1", 8080]')
    assert (answer, count) == ({}, 1), answer
told
"""


def test_lies_to_the_worker(here: Ground) -> None:
    """Questions that are none, and descriptors that are no place for an answer: no descriptor ever
    comes back but a connection that was asked for, the worker keeps none of them, and serves on.
    """
    before = here.worker.num_fds()
    for answer, count in said(here, LIES):
        assert count == 0 and answer["error"] in ("network", "name"), answer
    assert said(here, FETCH) == f"answer of {SERVERS}"
    until(
        lambda: here.worker.num_fds() <= before + 8
    )  # its own connections to PostgreSQL and Redis come and go


def test_what_is_handed_over(here: Ground) -> None:
    """It is a TCP connection to the place that was asked for, and nothing else of the worker's
    comes with it.
    """
    code = """
import fcntl, socket
def is_open(fd):
    try: return fcntl.fcntl(fd, fcntl.F_GETFD) >= 0
    except OSError: return False
before = {fd for fd in range(4096) if is_open(fd)}
with socket.create_connection(('127.0.0.1', 8080), 10) as s:
    found = [s.getpeername(), s.type == socket.SOCK_STREAM,
             {fd for fd in range(4096) if is_open(fd)} - before == {s.fileno()}]
found
"""
    assert said(here, code) == [["127.0.0.1", HTTP], True, True]


def test_a_bound_on_connections(here: Ground, world: Outside) -> None:
    """A task has so many open at a time; those it has closed do not count; when it ends, all of
    them do.
    """
    code = f"""
import socket
mine = [socket.create_connection(('127.0.0.1', 8080), 20) for _ in range({connections.MOST_OPEN})]
try: socket.create_connection(('127.0.0.1', 8080), 20); over = 'reached'
except OSError as error: over = str(error)
for one in mine[:60]: one.close()
mine = mine[60:]
more = [socket.create_connection(('127.0.0.1', 8080), 20) for _ in range(60)]
[over, len(more)]
"""
    over, more = said(here, code)
    assert f"this task has {connections.MOST_OPEN} connections open" in over and more == 60
    until(lambda: not world.open)


def test_a_flood_of_questions(here: Ground) -> None:
    """A task that asks without end leaves the worker time for others."""
    code = (
        "import socket, threading\ndef ask():\n    while True:\n        try: "
        "socket.getaddrinfo('evil.example.org', 8080)\n        except OSError: pass\nfor _ in "
        "range(20): threading.Thread(target=ask, daemon=True).start()\nprint('asking', "
        "flush=True)\nimport time; time.sleep(600)"
    )
    flood = here.submit(code, timeout=600)
    until(lambda: here.gateway.get(f"/tasks/{flood}")["status"] == "running")
    for _ in range(3):
        assert said(here, FETCH) == f"answer of {SERVERS}"
    here.gateway.post(f"/tasks/{flood}/cancel", {})
    assert until(lambda: here.final(flood))["status"] == "cancelled"
