"""What a task can do to its own input: the file it maps is the one the next task gets."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from typing import Any

import numpy as np

from mecapy_jupyter import Client
from mecapy_jupyter.client.task import Task

from ..conftest import TOKEN
from .ground import Ground, until

# Each writes a byte of its own into the mapping, or to the file behind it.
WRITES = """
import ctypes, glob, mmap, os
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
at, size = x.ctypes.data, x.nbytes
page = at & ~4095
files = [line.split()[0] for line in open('/proc/self/maps')
         if int(line.split('-')[0], 16) <= at < int(line.split('-')[1].split()[0], 16)]
where = {int(line.split('-')[0], 16): line.split()[5] for line in open('/proc/self/maps')
         if line.startswith(files[0])}
def by_mprotect():
    libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(4096), 7)
    ctypes.memset(at, 2, 64)
def by_proc_mem():
    with open('/proc/self/mem', 'r+b', 0) as mem:
        mem.seek(at); mem.write(bytes([3]) * 64)
def by_map_files():
    with open('/proc/self/map_files/' + files[0], 'r+b', 0) as file: file.write(bytes([4]) * 64)
def by_name():
    for name in where.values():
        with open(name, 'r+b', 0) as file: file.write(bytes([5]) * 64)
def by_hole():
    if libc.madvise(ctypes.c_void_p(page), ctypes.c_size_t(4096), 9): raise OSError('MADV_REMOVE')
def by_descriptors():
    for name in os.listdir('/proc/self/fd'):
        try: file = open('/proc/self/fd/' + name, 'r+b', 0)
        except OSError: continue
        if os.fstat(file.fileno()).st_size == size: file.write(bytes([6]) * 64)
said = {}
for write in (by_mprotect, by_proc_mem, by_map_files, by_name, by_hole, by_descriptors):
    try: write(); said[write.__name__] = int(x[0])
    except OSError as error: said[write.__name__] = type(error).__name__
said
"""


def ran(here: Ground, task: Task) -> Any:
    """The task's value. The gateway here is root's, and what it stores is the worker's to read."""

    def done() -> bool:
        for file in blobs.rglob("*"):
            with suppress(FileNotFoundError):
                os.chown(file, user, user)
        return task.done()

    blobs = here.folder / "blobs"
    user = blobs.stat().st_uid
    until(done)
    return task.result()


def test_a_mapped_input_stays_what_it_is(here: Ground) -> None:
    """A task may write into its own copy of an input's pages; the file, and so what the next task
    gets, is as it was.
    """
    mine = np.full(4 << 20, 1, "u1")
    mine[1:9] = np.frombuffer(np.random.bytes(8), "u1")  # a digest of this run
    first = mine.copy()
    with Client(here.gateway.url, TOKEN) as client:
        said = ran(here, client.run(WRITES, inputs={"x": mine}, outputs=[]))
        assert said["by_mprotect"] == 2, said  # it really wrote, into pages of its own
        refused = {how for name, how in said.items() if name in ("by_map_files", "by_name")}
        assert refused <= {"PermissionError", "FileNotFoundError", "OSError"}, said
        again = "import hashlib\nhashlib.sha256(x).hexdigest()"
        seen = ran(here, client.run(again, inputs={"x": first.copy()}, outputs=[]))
    assert seen == hashlib.sha256(first).hexdigest()
    here.unharmed()
