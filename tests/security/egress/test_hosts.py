"""Allowed hosts and ports: what is on the list is reached by the libraries people use, and nothing
else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from mecapy_jupyter.shared.processes import mecapy_command

from ...conftest import TOKEN
from ..ground import Ground, until
from ..outside import (
    CLOSED,
    HTTP,
    METADATA,
    OTHER,
    POSTGRES,
    REDIS,
    SERVERS,
    SIX,
    WORKER,
    Outside,
)
from .conftest import FETCH, LISTED, said

if sys.platform != "linux":
    pytest.skip("nothing confines a child here", allow_module_level=True)
SECURE = "import ssl\nstrict = ssl.create_default_context(cadata=authority)\n"
WAYS = {
    "urllib": FETCH,
    "http.client": "import http.client\nc = http.client.HTTPConnection('data.example.org', 8080, "
    "timeout=200); c.request('GET', '/')\nc.getresponse().read().decode()",
    "requests": "import requests\nrequests.get('http://data.example.org:8080/', timeout=200).text",
    "urllib3": "import urllib3\nurllib3.request('GET', "
    "'http://data.example.org:8080/').data.decode()",
    "ssl by urllib": SECURE
    + "import urllib.request as u\nu.urlopen('https://secure.example.org:8443/', timeout=200, "
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
        said(here, f"import urllib.request as u\nu.urlopen({url!r}, timeout=200).read().decode()")
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
        socket.create_connection((host, port), 200).close()
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
first = u.urlopen('http://turns.example.org:8080', timeout=2000).read().decode()
again = socket.create_connection(('10.77.0.3', 8080), 200).getpeername()[0]
try: u.urlopen('http://turns.example.org:8080', timeout=2000); later = 'reached'
except OSError as error: later = str(error)
try: socket.create_connection(('127.0.0.1', 8081), 200); around = 'reached'
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
    try: socket.create_connection((name, port), 30)
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
import select, socket, errno
with socket.socket() as s:
    s.settimeout(0.3); socket.getaddrinfo('hole.example.org', 8080)
    try: s.connect(('10.77.0.99', 8080)); slow = 'reached'
    except TimeoutError: slow = True
with socket.socket() as s:
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1); s.setblocking(False)
    number = s.fileno(); started = s.connect_ex(('127.0.0.1', 8080))
    arrived = bool(select.select([], [s], [], 200)[1])
    arrived = arrived and s.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    kept = [s.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY), s.fileno() == number,
            s.getblocking(), s.get_inheritable()]
    twice = s.connect_ex(('127.0.0.1', 8080))
    not_listed = socket.socket().connect_ex(('127.0.0.1', 1))
[slow, started == errno.EINPROGRESS, arrived, kept, twice == errno.EISCONN,
 not_listed == errno.EACCES]
"""
    assert said(here, code) == [True, True, True, [1, True, False, False], True, True]


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
        mecapy_command("doctor"), capture_output=True, text=True, check=False, timeout=240, env=env
    )
    assert "lets its tasks reach data.example.org:8080, " in done.stdout, done.stdout
