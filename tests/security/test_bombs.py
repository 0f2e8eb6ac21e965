"""Tasks that take all they can get, or that will not end: each is ended for it, is named for it,
and nobody else notices.
"""

from __future__ import annotations

import time
from typing import Any

import psutil
import pytest

from .ground import Ground, until

# In the core one for each way to end; the others are ways to the same ends.
CORE = {
    "fork bomb", "memory bomb of many", "disk bomb of deleted files", "pickle bomb",
    "descriptors without end", "output without end", "loop that ignores SIGTERM",
    "signal to everybody", "frame nested without end",
}  # fmt: skip
# The code, and what its task may end with: the kind of the error, or the type of the exception the
# cell met.
BOMBS: dict[str, tuple[str, set[str]]] = {
    "fork bomb": ("import os\nwhile True:\n    try: os.fork()\n    except OSError: "
                  "pass", {"killed", "memory"}),
    "fork bomb of daemons": ("import os\nwhile True:\n    try:\n        if os.fork() == 0: "
                             "os.setsid()\n    except OSError: pass", {"killed", "memory"}),
    "thread bomb": (
        "import threading\nwhile True: threading.Thread(target=threading.Event().wait).start()",
        {"RuntimeError", "killed", "memory"},
    ),
    "memory bomb": ("b = bytearray(3_000_000_000)", {"MemoryError", "memory"}),
    "memory bomb of many": ("import os, time\nfor _ in range(6):\n    if os.fork() == 0:\n        "
                            "b = bytearray(os.urandom(1 << 20)) * 100; "
                            "time.sleep(60)\ntime.sleep(60)", {"memory"}),
    "memory bomb of a mapped file": ("import mmap, os\nf = open('f', 'wb+'); f.truncate(10 << "
                                     "30)", {"OSError", "killed"}),
    "memory bomb in /dev/shm": ("for n in range(100): open(f'/dev/shm/{n}', 'wb').write(bytes(10 "
                                "<< 20))", {"OSError", "memory"}),
    "disk bomb": ("import time\nfor n in range(99): open(f'f{n}', 'wb').write(bytes(1 << "
                  "20))\ntime.sleep(60)", {"disk"}),
    "disk bomb of one file": ("open('f', 'wb').write(bytes(99 << "
                              "20))", {"OSError", "killed", "disk"}),
    "disk bomb of deleted files": ("import os, time\nfs = []\nfor n in range(99):\n    f = "
                                   "open('f', 'wb'); f.write(bytes(1 << 20)); f.flush(); "
                                   "os.unlink('f'); fs.append(f)\ntime.sleep(60)", {"disk"}),
    "disk bomb of hidden files": ("import os, time\nos.mkdir('d')\nfor n in range(99): "
                                  "open(f'd/f{n}', 'wb').write(bytes(1 << 20))\nos.chmod('d', "
                                  "0)\ntime.sleep(60)", {"disk"}),
    "disk bomb of files that can be listed only": ("import os, time\nos.mkdir('d')\nfs = "
                                                   "[open(f'd/f{n}', 'wb') for n in "
                                                   "range(99)]\nos.chmod('d', 0o400)\nfor f in "
                                                   "fs: f.write(bytes(1 << 20)); "
                                                   "f.flush()\ntime.sleep(60)", {"disk"}),
    "disk bomb of files whose folder closes again and again": (
        "import os, time\nos.mkdir('d')\nfs = [open(f'd/f{n}', 'wb') for n in range(99)]\n"
        "if os.fork() == 0:\n    while True: os.chmod('d', 0o400)\n"
        "for f in fs: f.write(bytes(1 << 20)); f.flush()\ntime.sleep(60)",
        {"disk"},
    ),
    "disk bomb behind a closed folder": ("import os, time\nos.chmod('..', 0)\nfor n in range(99): "
                                         "open(f'f{n}', 'wb').write(bytes(1 << "
                                         "20))\ntime.sleep(60)", {"disk"}),
    "disk bomb of mapped files": ("import ctypes, os, time\nc = ctypes.CDLL(None); c.mmap.restype "
                                  "= ctypes.c_void_p\nfor n in range(99):\n    f = os.open('f', "
                                  "os.O_CREAT | os.O_RDWR); os.truncate(f, 1 << 20); p = "
                                  "c.mmap(None, ctypes.c_size_t(1 << 20), 3, 1, f, "
                                  "ctypes.c_long(0)); os.close(f); os.unlink('f'); "
                                  "ctypes.memset(p, 120, 1 << 20)\ntime.sleep(60)", {"disk"}),
    "disk bomb of files of which a page is mapped": (
        "import ctypes, os, time\nc = ctypes.CDLL(None); c.mmap.restype = ctypes.c_void_p\n"
        "for n in range(9):\n    f = os.open('f', os.O_CREAT | os.O_RDWR)\n"
        "    os.write(f, b'x' * (11 << 20)); time.sleep(0.5)\n"
        "    c.mmap(None, ctypes.c_size_t(4096), 1, 1, f, ctypes.c_long(0))\n"
        "    os.close(f); os.unlink('f')\ntime.sleep(60)",
        {"disk"},
    ),
    "disk bomb of empty files": ("import os, time\nfor n in range(20_000): "
                                 "os.mknod(f'f{n}')\ntime.sleep(60)", {"disk"}),
    "zip bomb": ("import io, zipfile\nz = io.BytesIO()\nwith zipfile.ZipFile(z, 'w', "
                 "zipfile.ZIP_DEFLATED) as f:\n    for n in range(30): f.writestr(str(n), "
                 "bytes(10 << 20))\nimport time; zipfile.ZipFile(z).extractall('out'); "
                 "time.sleep(60)", {"disk", "OSError"}),
    "pickle bomb": ("import pickle\npickle.loads(b'\\x80\\x05\\x8e' + (1 << 60).to_bytes(8, "
                    "'little') + b'x')", {"MemoryError", "UnpicklingError", "memory"}),
    "descriptors without end": ("fs = []\nwhile True: fs.append(open('/dev/null'))", {"OSError"}),
    "output without end": ("while True: print('x' * 10_000)", {"output"}),
    "output without end, by a subprocess": (
        "import subprocess\nsubprocess.run(['yes'])", {"output"},
    ),
    "output without a line's end": ("import os\nwhile True: os.write(1, b'\\xff' * "
                                    "65536)", {"output"}),
    "loop that ignores SIGTERM": ("import signal\nfor n in set(signal.Signals) - {9, 19}: "
                                  "signal.signal(n, signal.SIG_IGN)\nwhile True: "
                                  "pass", {"timeout"}),
    "loop in native code": ("import re\nre.match('(a+)+$', 'a' * 40 + 'b')", {"timeout"}),
    "stopped by itself": ("import os, signal\nos.kill(os.getpid(), signal.SIGSTOP)", {"timeout"}),
    "signal to everybody": ("import os, signal\nos.kill(-1, signal.SIGKILL)\nos.kill(os.getpid(), "
                            "signal.SIGKILL)", {"killed", "PermissionError", "ProcessLookupError"}),
    "stack without end": ("import sys\nsys.setrecursionlimit(10**9)\nf = lambda: "
                          "f()\nf()", {"killed", "RecursionError", "MemoryError", "memory"}),
    "disk bomb, and a pipe where it says its line": ("import os, time\np = "
                                                     "os.readlink('/proc/self/fd/4'); "
                                                     "os.unlink(p); os.mkfifo(p); f = os.open(p, "
                                                     "os.O_RDWR)\nfor n in range(99): "
                                                     "open(f'f{n}', 'wb').write(bytes(1 << 20))\n"
                                                     "time.sleep(60)", {"disk"}),
    "disk bomb, and a folder where it says its line": ("import os, time\np = "
                                                       "os.readlink('/proc/self/fd/4'); "
                                                       "os.unlink(p); os.mkdir(p)\nfor n in "
                                                       "range(99): open(f'f{n}', "
                                                       "'wb').write(bytes(1 << 20))\n"
                                                       "time.sleep(60)", {"disk"}),
    "frame nested without end": ("from mecapy_worker.shared.channel import Channel\nimport gc, "
                                 "struct, time\ngc.unfreeze()\nch = [o for o in gc.get_objects() "
                                 "if isinstance(o, Channel) and o.sock.fileno() >= 0][-1]\nh = b'['"
                                 " * 900_000\np = struct.pack('!BHII', 1, 0, len(h), 0)\n"
                                 "ch.sock.sendall(p + b'a' + h); "
                                 "time.sleep(60)", {"protocol"}),
    "frame without end": ("from mecapy_worker.shared.channel import Channel\nimport gc, "
                          "struct, time\ngc.unfreeze()\nch = [o for o in gc.get_objects() if "
                          "isinstance(o, Channel) and o.sock.fileno() >= "
                          "0][-1]\nch.sock.sendall(struct.pack('!BHII', 1, 0, 2, 2**32 - 1) "
                          "+ b'a{}'); "
                          "time.sleep(60)", {"protocol"}),
}  # fmt: skip


@pytest.fixture(scope="module")
def before(here: Ground) -> int:
    """How many processes there are once all spares are born. After no bomb are there more."""
    return settled(here)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in CORE else pytest.mark.long) for name in BOMBS]
)
def test_bomb(here: Ground, before: int, name: str) -> None:
    """It ends as what it is, leaves no process, and the worker and the neighbour go on."""
    code, kinds = BOMBS[name]
    task = here.run(code, timeout=1 if "timeout" in kinds else 200)
    error = task["error"]
    assert task["status"] == "failed" and {error["kind"], error["type"]} & kinds, error
    here.unharmed()
    until(lambda: len(family(here)) <= before)


def settled(here: Ground) -> int:
    """How many processes there are, once all spares are born: none comes and none goes for seconds,
    as a busy machine takes longer for one.
    """
    seen, looks = family(here), 0
    while looks < 10:
        time.sleep(0.5)
        seen, looks = (now := family(here)), looks + 1 if now == seen else 0
    return len(seen)


def family(here: Ground) -> list[psutil.Process]:
    """Every process below the worker: the zygote, the spares, the neighbour."""
    return here.worker.children(recursive=True)


def test_daemon_dies_with_its_task(here: Ground) -> None:
    """A process that detached twice, asked for its own session and ignores every signal is gone
    when its task's end is known.
    """
    code = """
import ctypes, os, signal, time
r, w = os.pipe()
if os.fork() == 0:
    os.setsid()
    os.setpgid(0, 0)
    if os.fork() == 0:
        for number in set(signal.Signals) - {9, 19}: signal.signal(number, signal.SIG_IGN)
        ctypes.CDLL(None).prctl(15, b'detached-twice')  # PR_SET_NAME: inside, its number is another
        os.write(w, open('/proc/self/comm').read().encode())
        time.sleep(1000)
    os._exit(0)
os.wait()
os.read(r, 100).decode().strip()
"""
    task = here.run(code)
    assert task["status"] == "completed", task
    here.unharmed()
    assert task["result"] == "detached-twice" and not [
        one for one in psutil.process_iter(["name"]) if one.info["name"] == "detached-twice"
    ]


BILLION_LAUGHS = """
lines = ['<!ENTITY a0 "ha">'] + [f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 11)]
svg = '<?xml version="1.0"?><!DOCTYPE s [' + ''.join(lines) + ']><svg xmlns="http://www.w3.org/2000/svg"><text>&a10;</text></svg>'
from IPython.display import display
display({'image/svg+xml': svg, 'text/html': svg, 'text/plain': 'laughs'}, raw=True)
len(svg)
"""


def test_billion_laughs_display(here: Ground) -> None:
    """Worker and gateway carry a display as the bytes it is: no entity is expanded, no memory
    grows.
    """
    before = here.worker.memory_info().rss
    task = here.run(BILLION_LAUGHS)
    assert task["status"] == "completed", task
    shown: Any = [
        event.data
        for event in here.gateway.events(task["task_id"], follow=False)
        if event.type == "display"
    ]
    assert "&a10;" in str(shown[0]) and len(str(shown)) < 10 * task["result"]
    assert here.worker.memory_info().rss - before < 64 << 20
    here.unharmed()
