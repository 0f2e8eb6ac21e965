"""Memory that no process shows as its own: each attack takes far more than a task may, in one way,
and holds it until the watch has looked several times. It is ended for it, and says so.

The ground's worker allows 400 MB; every attack stops by itself at twice that.
"""

from __future__ import annotations

import pytest

from .ground import Ground

# What each begins with. 0x21: MAP_SHARED | MAP_ANONYMOUS, 0x22: MAP_PRIVATE | MAP_ANONYMOUS.
TOOLS = """
import ctypes, mmap, os, select, socket, time
MOST, PIECE = 800 << 20, 4 << 20
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int,
                      ctypes.c_long]
for name in ('madvise', 'munmap'):
    getattr(libc, name).argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int][
        :3 if name == 'madvise' else 2]
def mapped(size, flags, rights=3):
    at = libc.mmap(None, size, rights, flags, -1, 0)
    if at == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return at
def in_forks(count, take):
    "As many processes take something and keep it."
    r, w = os.pipe()
    for _ in range(count):
        if os.fork() == 0:
            said = b'!'
            try: take(); said = b'.'
            finally: os.write(w, said); time.sleep(100); os._exit(0)
    got = b''
    while len(got) < count: got += os.read(r, 99)
    if b'!' in got: raise OSError('refused')
"""
HELD = "\ntime.sleep(100)\n'held'"
LIMIT_SAID = {"memory", "MemoryError"}
REFUSED = {"OSError", "PermissionError", "MemoryError"}
# The code, and how its task may end.
HOARDS: dict[str, tuple[str, set[str]]] = {
    "shared memory without a file": (
        "m = mmap.mmap(-1, MOST)\nfor at in range(0, MOST, PIECE): m[at:at + PIECE] = b'x' * PIECE",
        LIMIT_SAID | {"OSError"},
    ),
    "shared memory without a file, by C": (
        "at = mapped(MOST, 0x21); ctypes.memset(at, 1, MOST)",
        LIMIT_SAID | REFUSED,
    ),
    "shared memory that no process has mapped": (
        "at = mapped(MOST, 0x21)\nfor n in range(0, MOST, PIECE):\n"
        "    ctypes.memset(at + n, 1, PIECE); libc.madvise(at + n, PIECE, 4)",
        LIMIT_SAID | REFUSED,
    ),
    "shared memory of which a page is mapped": (
        "for _ in range(8):\n    at = mapped(MOST // 8, 0x21); ctypes.memset(at, 1, MOST // 8)\n"
        "    libc.munmap(at + 4096, MOST // 8 - 4096)",
        LIMIT_SAID | REFUSED,
    ),
    "shared memory of many": (
        "def take():\n    m = mmap.mmap(-1, MOST // 8)\n    m[:] = b'x' * (MOST // 8)\n"
        "    m.madvise(mmap.MADV_DONTNEED)\nin_forks(8, take)",
        LIMIT_SAID | {"OSError", "killed"},
    ),
    "socket buffers in flight": (
        "kept = []\ndef take():\n    for _ in range(700):\n"
        "        kept.append(socket.socketpair())\n        for one in kept[-1]:\n"
        "            one.setblocking(False)\n            try:\n"
        "                while True: one.send(b'x' * 32768)\n            except OSError: pass\n"
        "in_forks(3, take)",
        LIMIT_SAID,
    ),
    "epoll items": (
        "def take():\n    pipes, kept = [os.pipe()[0] for _ in range(700)], []\n"
        "    for _ in range(2000):\n        e = select.epoll(); kept.append(e)\n"
        "        for fd in pipes: e.register(fd)\nin_forks(3, take)",
        LIMIT_SAID,
    ),
    "page tables of many": (
        "def take():\n    at = mapped(4 << 30, 0x22, 1)\n    for n in range(0, 4 << 30, 2 << 20): "
        "ctypes.c_char.from_address(at + n).value\nin_forks(120, take)",
        LIMIT_SAID,
    ),
    "file locks": (
        "import fcntl\nkept = []\ndef take():\n    for _ in range(1000):\n"
        "        kept.append(open('f', 'w')); os.unlink('f')\n"
        "        for n in range(500, 0, -2): fcntl.lockf(kept[-1], fcntl.LOCK_EX, 1, n)\n"
        "in_forks(8, lambda: [os.mkdir(str(os.getpid())), "
        "os.chdir(str(os.getpid())), take()])",
        LIMIT_SAID | {"killed"},
    ),
    "mappings by the ten thousand": (
        "def take():\n    try:\n        for n in range(65_000): mapped(4096, 0x22, n % 2)\n"
        "    except OSError: pass\nin_forks(45, take)",
        LIMIT_SAID | {"killed"},
    ),
    "sockets sent into sockets": (
        "kept = []\ndef full():\n    a, b = socket.socketpair(); a.setblocking(False)\n"
        "    try:\n        while True: a.send(b'x' * 32768)\n    except OSError: pass\n"
        "    return b\ndef take():\n    for _ in range(10):\n"
        "        a, b = socket.socketpair(); kept.extend((a, b))\n        for _ in range(100):\n"
        "            one = full(); socket.send_fds(a, [b'x'], [one.fileno()]); one.close()\n"
        "in_forks(4, take)",
        LIMIT_SAID,
    ),
    "large pages held by pipes": (
        "class Piece(ctypes.Structure): _fields_ = [('at', ctypes.c_size_t), ('n', "
        "ctypes.c_size_t)]\nkept, huge = [], 2 << 20\nfor _ in range(MOST // huge // 8):\n"
        "    r, w = os.pipe(); kept.append((r, w))\n    for _ in range(8):\n"
        "        at = mapped(2 * huge, 0x22); start = -(-at // huge) * huge\n"
        "        libc.madvise(start, huge, 14); ctypes.memset(start, 1, huge)\n"
        "        if libc.vmsplice(w, ctypes.byref(Piece(start, 4096)), 1, 0) < 0:\n"
        "            raise OSError(ctypes.get_errno(), 'vmsplice')\n"
        "        libc.munmap(at, 2 * huge)",
        LIMIT_SAID | REFUSED,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOARDS)
def test_hoard(here: Ground, name: str) -> None:
    """It is ended for what it took, and the neighbour goes on."""
    code, kinds = HOARDS[name]
    task = here.run(TOOLS + code + HELD, timeout=200)
    error = task["error"]
    here.unharmed()
    assert task["status"] == "failed" and {error["kind"], error["type"]} & kinds, task
