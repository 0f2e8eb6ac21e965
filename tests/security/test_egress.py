"""Allowed hosts and ports: what is on the list is reached by the libraries people use, and nothing
else by any means.

A real worker in strict mode in a network of its own, real servers and a real name server in another
(`outside`). Everything that must not be reached is there, and an unconfined process reaches it.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from pydantic import SecretStr

from mecapy_backend.shared.settings import Settings
from mecapy_backend.store.database import driver_url
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.shared.processes import mecapy_command
from mecapy_worker.egress import connections, rules

from ..conftest import TOKEN, execute, named, served
from ..faults.proxy import Loop, Proxy
from .ground import NOBODY, Ground, until, worker
from .outside import (
    CLOSED,
    HTTP,
    METADATA,
    NOBODY_THERE,
    OTHER,
    POSTGRES,
    REDIS,
    SERVERS,
    SIX,
    TLS,
    WORKER,
    Outside,
    outside,
)
from .test_attacks import CALLS, RUN, STOPPED, WHICH
from .test_strict import nowhere

if sys.platform != "linux":
    pytest.skip("nothing confines a child here", allow_module_level=True)

LISTED = (
    f"data.example.org:{HTTP}", f"secure.example.org:{TLS}", f"*.wild.example.org:{HTTP}",
    f"127.0.0.1:{HTTP}", f"[{SIX}]:{HTTP}", f"inner.example.org:{HTTP}", f"localhost:{HTTP}",
    f"own.example.org:{HTTP}", "meta.example.org:80", f"mapped.example.org:{HTTP}",
    f"store.example.org:{POSTGRES}", f"store.example.org:{REDIS}", f"{SERVERS}:{POSTGRES}",
    f"{SERVERS}:{REDIS}", f"turns.example.org:{HTTP}", f"mixed.example.org:{HTTP}",
    f"silent.example.org:{HTTP}", f"gone.example.org:{HTTP}", f"hole.example.org:{HTTP}",
    "shut.example.org:9",
)  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Outside]:
    folder = tmp_path_factory.mktemp("outside")
    with outside(folder) as opened:
        opened.names |= {
            "data.example.org": [[SERVERS]], "secure.example.org": [[SERVERS]],
            "a.b.wild.example.org": [[OTHER]], "wild.example.org": [[OTHER]],
            "inner.example.org": [["127.0.0.1"]], "own.example.org": [[WORKER]],
            "meta.example.org": [[METADATA]], "mapped.example.org": [["::ffff:127.0.0.1"]],
            "store.example.org": [[SERVERS]], "mixed.example.org": [["127.0.0.1", OTHER]],
            "silent.example.org": [], "hole.example.org": [[NOBODY_THERE]],
            "shut.example.org": [[SERVERS]], "evil.example.org": [[SERVERS]],
        }  # fmt: skip
        yield opened


@pytest.fixture(scope="module", params=["root", "unprivileged"])
def here(
    request: pytest.FixtureRequest, world: Outside, postgres: Any, valkey: Any
) -> Iterator[Ground]:
    """That worker; PostgreSQL and Redis lie a cable away from it, as they do in a deployment."""
    uid = 0 if request.param == "root" else NOBODY
    name = f"test_{uuid.uuid4().hex}"
    asyncio.run(execute(postgres.url, f"CREATE DATABASE {name} TEMPLATE template_mecapy"))
    url = named(postgres.url, name)
    with ExitStack() as stack:
        folder = Path("/tmp", f"mecapy-egress-{os.getpid()}-{uid}")
        stack.callback(subprocess.run, ["rm", "-rf", str(folder)], check=True)
        (folder / "blobs").mkdir(parents=True)
        loop = Loop()
        stack.callback(loop.close)
        places = {
            POSTGRES: Path(str(driver_url(url).query["host"]), ".s.PGSQL.5432"),
            REDIS: Path(valkey.socket),
        }
        for port, place in places.items():
            stack.callback(Proxy(loop, place, world.servers.listening(SERVERS, port)).close)
        redis_url = valkey.url.partition("?")[0] + "?db=10"
        settings = Settings(
            database_url=url,
            redis_url=redis_url,
            blob_url=f"file://{folder}/blobs",
            token=SecretStr(TOKEN),
        )  # pyright: ignore[reportCallIssue]
        gateway = stack.enter_context(served(settings))
        environment = {
            "MECAPY_DATABASE_URL": f"postgresql://postgres:{driver_url(url).password}@{SERVERS}:{POSTGRES}/{name}",
            "MECAPY_REDIS_URL": f"redis://{urlsplit(valkey.url).netloc}{SERVERS}:{REDIS}/10",
            "MECAPY_BLOB_URL": f"file://{folder}/blobs",
            "MECAPY_SANDBOX": "strict",
            "MECAPY_WORKER_SLOTS": "2",
            "MECAPY_PRELOAD": "",
            "MECAPY_GRACE_S": "1",
            "MECAPY_LOG_FORMAT": "json",
            "MECAPY_EGRESS": ", ".join(LISTED),
        }
        for path in (folder, folder / "blobs"):
            os.chown(path, uid, uid)
        become = ("setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups") if uid else ()
        process = stack.enter_context(
            worker(folder, uid, environment, *world.launcher, *become, by=0)
        )
        client = Gateway(gateway.url, gateway.token)
        stack.callback(client.close)
        until(lambda: process.poll() is not None or client.get("/workers"))
        assert process.poll() is None, (folder / "worker.log").read_text()
        yield Ground(client, psutil.Process(process.pid), (POSTGRES, REDIS), folder, ())


def said(here: Ground, code: str, **more: Any) -> Any:
    """What a task with that code returns."""
    task = here.run(code, **more)
    assert task["status"] == "completed", task["error"]
    return task["result"]


FETCH = (
    "import urllib.request as u\nu.urlopen('http://data.example.org:8080/', "
    "timeout=20).read().decode()"
)
SECURE = "import ssl\nstrict = ssl.create_default_context(cadata=authority)\n"
WAYS = {
    "urllib": FETCH,
    "http.client": "import http.client\nc = http.client.HTTPConnection('data.example.org', 8080, "
    "timeout=20); c.request('GET', '/')\nc.getresponse().read().decode()",
    "requests": "import requests\nrequests.get('http://data.example.org:8080/', timeout=20).text",
    "urllib3": "import urllib3\nurllib3.request('GET', "
    "'http://data.example.org:8080/').data.decode()",
    "ssl by urllib": SECURE
    + "import urllib.request as u\nu.urlopen('https://secure.example.org:8443/', timeout=20, "
    "context=strict).read().decode()",
    "a socket": "import socket\nwith socket.socket() as s:\n    s.connect(('data.example.org', "
    "8080)); s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n')\n    said = "
    "s.makefile('rb').read().decode()\nsaid",
    "asyncio": "import asyncio\nr, w = await asyncio.open_connection('data.example.org', "
    "8080)\nw.write(b'GET / HTTP/1.0\\r\\n\\r\\n'); said = (await r.read()).decode(); w.close(); "
    "said",
    "asyncio with ssl": SECURE
    + "import asyncio\nr, w = await asyncio.open_connection('secure.example.org', 8443, "
    "ssl=strict)\nw.write(b'GET / HTTP/1.0\\r\\n\\r\\n'); said = (await "
    "r.readuntil(b'10.77.0.2')).decode(); w.close(); said",
    "a fork": f"import multiprocessing\ndef fetch(_):\n    {FETCH.splitlines()[0]}\n    return "
    f"{FETCH.splitlines()[1]}\nwith multiprocessing.Pool(2) as pool: both = pool.map(fetch, "
    f"range(4))\nassert len(set(both)) == 1\nboth[0]",
    "threads": f"import concurrent.futures\ndef fetch(_):\n    {FETCH.splitlines()[0]}\n    "
    f"return {FETCH.splitlines()[1]}\nwith concurrent.futures.ThreadPoolExecutor(8) as pool: "
    f"all_of_them = set(pool.map(fetch, range(16)))\nassert len(all_of_them) == "
    f"1\nall_of_them.pop()",
}


@pytest.mark.parametrize("way", WAYS)
def test_an_allowed_host(here: Ground, world: Outside, way: str) -> None:
    """A cell reaches it, as it would at home."""
    assert said(here, WAYS[way], inputs={"authority": world.authority}).endswith(
        f"answer of {SERVERS}"
    )


@pytest.mark.parametrize(
    ("url", "by"),
    [
        ("http://a.b.wild.example.org:8080", OTHER), (f"http://[{SIX}]:8080", SIX),
        ("http://127.0.0.1:8080", "127.0.0.1"), ("http://mixed.example.org:8080", OTHER),
        ("http://DATA.example.org.:8080", SERVERS),
    ],
)  # fmt: skip
def test_other_ways_to_be_listed(here: Ground, url: str, by: str) -> None:
    """Below a `*.`, by an IPv6 address, by an address that only its being listed makes reachable,
    by one of a name's two, in other letters.
    """
    assert (
        said(here, f"import urllib.request as u\nu.urlopen({url!r}, timeout=20).read().decode()")
        == f"answer of {by}"
    )


REFUSED = {
    "a name that is not listed": ("evil.example.org", HTTP, "allows only data.example.org:8080"),
    "another port": ("data.example.org", CLOSED, "allows only"),
    "the domain itself": ("wild.example.org", HTTP, "allows only"),
    "an address behind a listed name": (SERVERS, HTTP, "allows only"),
    "a private address": (OTHER, HTTP, "allows only"),
    "loopback, another port": ("127.0.0.1", CLOSED, "allows only"),
    "loopback, another address": ("127.0.0.2", HTTP, "allows only"),
    "loopback, as a number": ("2130706433", CLOSED, "allows only"),
    "loopback of IPv6": ("::1", HTTP, "allows only"),
    "everybody": ("0.0.0.0", HTTP, "allows only"),
    "metadata": (METADATA, 80, "allows only"),
    "metadata inside IPv6": (f"::ffff:{METADATA}", 80, "allows only"),
    "a name that leads to loopback": ("inner.example.org", HTTP, "leads to 127.0.0.1, this "
                                                                 "machine itself"),
    "localhost": ("localhost", HTTP, "this machine itself"),
    "a name that leads to loopback inside IPv6": (
        "mapped.example.org", HTTP, "leads to 127.0.0.1, this machine itself",
    ),
    "a name that leads to the worker's own address": (
        "own.example.org", HTTP, f"leads to {WORKER}, this machine itself",
    ),
    "a name that leads to metadata": ("meta.example.org", 80, f"leads to {METADATA}, a link-local "
                                                              f"or metadata address"),
    "PostgreSQL by a listed name": ("store.example.org", POSTGRES, "this deployment's own "
                                                                   "PostgreSQL"),
    "Redis by a listed name": ("store.example.org", REDIS, "this deployment's own Redis"),
    "PostgreSQL by its listed address": (SERVERS, POSTGRES, "this deployment's own PostgreSQL"),
    "Redis inside IPv6": (f"::ffff:{SERVERS}", REDIS, "this deployment's own Redis"),
}  # fmt: skip


@pytest.fixture(scope="module")
def refused(here: Ground) -> dict[str, Any]:
    """What a task was told that asked for each of them."""
    code = """
import socket
told = {}
for name, (host, port, _) in asked.items():
    try:
        socket.create_connection((host, port), 10).close()
        told[name] = ['reached', '']
    except OSError as error:
        told[name] = [type(error).__name__, str(error)]
told
"""
    return said(here, code, inputs={"asked": {name: list(row) for name, row in REFUSED.items()}})


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_listed(refused: dict[str, Any], name: str) -> None:
    """A PermissionError that names the host and the port, and says what is allowed or why this is
    not.
    """
    _host, port, why = REFUSED[name]
    kind, text = refused[name]
    assert kind == "PermissionError" and why in text and str(port) in text, (kind, text)
    assert "MECAPY_EGRESS" in text or "allows only" not in why, text


def test_it_is_all_there(world: Outside) -> None:
    """An unconfined process beside the worker reaches whatever a task does not: being refused means
    something.
    """
    there = [
        (host, port)
        for name, (host, port, _) in REFUSED.items()
        if "loopback, " not in name and port not in (POSTGRES, REDIS)
    ]
    there = [(host, port) for host, port in there if host not in ("::1", "localhost")]
    code = f"import socket\nfor at in {there!r}: socket.create_connection(at, 10).close()"
    subprocess.run([*world.launcher, sys.executable, "-c", code], check=True)


def test_a_name_that_changes(here: Ground, world: Outside) -> None:
    """Rebinding: a name leads to an allowed place first and to loopback afterwards. What was
    checked is what is reached; what comes later is checked anew.
    """
    world.names["turns.example.org"] = [[OTHER], ["127.0.0.1"]]
    code = """
import socket, urllib.request as u
first = u.urlopen('http://turns.example.org:8080', timeout=10).read().decode()
again = socket.create_connection(('10.77.0.3', 8080), 10).getpeername()[0]
try: u.urlopen('http://turns.example.org:8080', timeout=10); later = 'reached'
except OSError as error: later = str(error)
try: socket.create_connection(('127.0.0.1', 8081), 10); around = 'reached'
except OSError as error: around = str(error)
[first, again, later, around]
"""
    first, again, later, around = said(here, code)
    assert (first, again) == (f"answer of {OTHER}", OTHER)
    assert "leads to 127.0.0.1, this machine itself" in later and "allows only" in around
    with pytest.raises(
        AssertionError, match="may not be reached"
    ):  # another task was never led there
        said(here, f"import socket\nsocket.create_connection(({OTHER!r}, {HTTP}), 10)")


UNKNOWN = {
    "gone.example.org": ("gaierror", "not known to the worker"),
    "silent.example.org": ("gaierror", "silent.example.org"),
    "hole.example.org": ("OSError|TimeoutError", "No route|timed out"),
    "shut.example.org": ("ConnectionRefusedError", "refused"),
}


def test_what_fails_for_itself(here: Ground) -> None:
    """A name nobody knows, a name server that is silent, a host that is not there, a port that is
    shut: the errors one has at home.
    """
    code = """
import socket
told = {}
for name in names:
    port = 9 if name.startswith('shut') else 8080
    try: socket.create_connection((name, port), 6)
    except OSError as error: told[name] = [type(error).__name__, str(error)]
told
"""
    told = said(here, code, inputs={"names": list(UNKNOWN)})
    for name, (kinds, texts) in UNKNOWN.items():
        assert told[name][0] in kinds.split("|") and any(
            text in told[name][1] for text in texts.split("|")
        ), (name, told[name])


def test_timeouts_and_answers_without_waiting(here: Ground) -> None:
    """A socket's own timeout holds; one that does not wait is told that it is on its way, and by
    `select` when it has arrived; a second connect is refused; what was set on it before still is.
    """
    code = """
import select, socket, time, errno
with socket.socket() as s:
    s.settimeout(0.3); since = time.monotonic(); socket.getaddrinfo('hole.example.org', 8080)
    try: s.connect(('10.77.0.99', 8080)); slow = 'reached'
    except TimeoutError: slow = time.monotonic() - since < 3
with socket.socket() as s:
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1); s.setblocking(False)
    number = s.fileno(); started = s.connect_ex(('127.0.0.1', 8080))
    arrived = bool(select.select([], [s], [], 5)[1])
    arrived = arrived and s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    kept = [s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), s.fileno() == number,
            s.getblocking(), s.get_inheritable()]
    twice = s.connect_ex(('127.0.0.1', 8080))
    not_listed = socket.socket().connect_ex(('127.0.0.1', 1))
[slow, started == errno.EINPROGRESS, arrived, kept, twice == errno.EISCONN,
 not_listed == errno.EACCES]
"""
    assert said(here, code) == [True, True, True, [1, True, False, False], True, True]


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
    ours.settimeout(20)
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
    assert said(here, WAYS["urllib"]) == f"answer of {SERVERS}"
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
        assert said(here, WAYS["urllib"]) == f"answer of {SERVERS}"
    here.gateway.post(f"/tasks/{flood}/cancel", {})
    assert until(lambda: here.final(flood))["status"] == "cancelled"


def test_every_connection_is_logged(here: Ground) -> None:
    """A line for each, with task, host, address and port, allowed or refused; nothing of what went
    through it.
    """
    code = (
        "import socket, urllib.request as "
        "u\nu.urlopen('http://data.example.org:8080/payload-of-mine').read()\nfor _ in "
        "range(3):\n    try: socket.create_connection(('evil.example.org', 8080))\n    except "
        "OSError: pass"
    )
    task_id = here.submit(code)
    assert until(lambda: here.final(task_id))["status"] == "completed"
    lines = [json.loads(line) for line in here.log().splitlines() if task_id in line]
    found = [
        {name: line[name] for name in ("event", "host", "address", "port") if name in line}
        for line in lines
        if "connection" in line["event"]
    ]
    assert found == [
        {"event": "connection", "host": "data.example.org", "address": SERVERS, "port": HTTP},
        {"event": "connection refused", "host": f"evil.example.org:{HTTP}"},
    ]
    assert "payload-of-mine" not in here.log()


def test_the_list_is_shown(here: Ground) -> None:
    """`GET /workers` has it, `mecapy doctor` says it, and the confinement is still strict."""
    (about,) = here.gateway.get("/workers")
    assert (
        about["info"]["network"] == list(LISTED)
        and about["info"]["confinement"]["level"] == "strict"
    )
    env = os.environ | {"MECAPY_URL": here.gateway.url, "MECAPY_TOKEN": TOKEN}
    done = subprocess.run(
        mecapy_command("doctor"), capture_output=True, text=True, check=False, timeout=60, env=env
    )
    assert "lets its tasks reach data.example.org:8080, " in done.stdout, done.stdout


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("data.example.org", "a port from 1 to 65535"),
        ("data.example.org:", "a port from 1 to 65535"),
        ("data.example.org:https", "a port from 1 to 65535"),
        ("data.example.org:0", "a port from 1 to 65535"),
        ("data.example.org:65536", "a port from 1 to 65535"),
        ("https://data.example.org:443", "the host must be a name"),
        ("*:443", "the host must be a name"),
        ("a.*.example.org:443", "the host must be a name"),
        ("10.1.2.0/24:443", "the host must be a name"),
        ("10.1.2:443", "the host must be a name"),
        ("2001:db8::7:443", "an IPv6 address needs brackets"),
        ("0.0.0.0:80", "not the address of one host"),
        ("[fe80::1%eth0]:80", "not the address of one host"),
        ("two hosts:80", "the host must be a name"),
    ],
)
def test_a_bad_entry(entry: str, why: str) -> None:
    """It is named, with what is wrong with it and how entries look."""
    with pytest.raises(rules.BadRule, match=re.escape(why)) as refused:
        rules.of(listing(f"good.example.org:443, {entry}"))
    assert repr(entry) in str(refused.value) and "data.example.org:443" in str(refused.value)


def test_a_worker_refuses_a_bad_entry(tmp_path: Path) -> None:
    """It ends at once with that sentence, without a traceback."""
    with worker(
        tmp_path, os.geteuid(), nowhere("best-effort") | {"MECAPY_EGRESS": "data.example.org"}
    ) as process:
        assert process.wait(60) == 1
    said = (tmp_path / "worker.log").read_text()
    assert "MECAPY_EGRESS has the entry 'data.example.org'" in said and "Traceback" not in said


def listing(entries: str) -> Settings:
    return Settings(
        egress=entries, redis_url="redis://10.9.9.9/0", s3_endpoint_url="http://minio:9000"
    )  # pyright: ignore[reportCallIssue, reportArgumentType]


def test_entries_as_they_are_read() -> None:
    """Small letters, addresses in their usual form; empty entries are none; the deployment's own
    services are known with their ports.
    """
    found = rules.of(
        listing(
            "Data.Example.ORG.:443,, [2001:DB8:0::7]:80 , ::ffff:10.0.0.1:5, *.bücher.example:443"
        )
    )
    assert [str(rule) for rule in found.rules] == [
        "data.example.org:443",
        "[2001:db8::7]:80",
        "10.0.0.1:5",
        "*.xn--bcher-kva.example:443",
    ]
    assert [(one.host, one.port) for one in found.services] == [
        ("localhost", 5432),
        ("10.9.9.9", 6379),
        ("minio", 9000),
    ]
    assert rules.of(Settings()).rules == () and Settings().egress == ()


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.9.1", "::1", "0.0.0.0", "::", "169.254.169.254", "169.254.42.42",
        "fe80::1", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192", "224.0.0.1",
        "255.255.255.255", "240.0.0.1", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a9fe:a9fe::1",
        "2001:0:1:2:3:4:80ff:fffe",
    ],
)  # fmt: skip
def test_where_no_name_may_lead(address: str) -> None:
    """This machine, metadata, nobody's and everybody's address, and the same ones inside an address
    of IPv6.
    """
    assert rules.unfit(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "93.184.215.14",
        "10.1.2.3",
        "192.168.7.7",
        "172.20.0.9",
        "2001:db8::7",
        "fd12::9",
        "64:ff9b::5db8:d70e",
    ],
)
def test_where_a_name_may_lead(address: str) -> None:
    """Anybody's public address, and private ones: there an engineer's licence server is."""
    assert not rules.unfit(ip_address(address))
