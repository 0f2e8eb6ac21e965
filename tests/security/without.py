"""`python without.py LAYER COMMAND…`: runs it on a kernel that refuses what this layer of
confinement is made of, as some hosts do.

gVisor answers ENOSYS to Landlock's calls. A filter put on from outside does the same for everything
the command starts.
"""

from __future__ import annotations

import errno
import os
import struct
import sys

from mecapy_worker.sandbox import seccomp
from mecapy_worker.shared import libc

LOAD, EQUAL, RETURN, ALLOW, ERRNO = 0x20, 0x15, 0x06, 0x7FFF0000, 0x00050000
SECCOMP, PRCTL = {"x86_64": (317, 157), "aarch64": (277, 167)}[libc.MACHINE]
UNSHARE = {"x86_64": 272, "aarch64": 97}[libc.MACHINE]
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}[libc.MACHINE]
# Number of the call, its first argument where that matters, and the answer.
REFUSED: dict[str, list[tuple[int, int | None, int]]] = {
    "landlock": [(number, None, errno.ENOSYS) for number in (444, 445, 446)],
    "seccomp": [(SECCOMP, None, errno.ENOSYS), (PRCTL, libc.PR_SET_SECCOMP, errno.EINVAL)],
    "pid_namespace": [(UNSHARE, None, errno.EPERM)],
    "no_new_privs": [(PRCTL, libc.PR_SET_NO_NEW_PRIVS, errno.EINVAL)],
}
# Nothing bounds which files are read.
REFUSED["files"] = [*REFUSED["landlock"], (PIVOT_ROOT, None, errno.EPERM)]


def program(layer: str) -> bytes:
    code: list[tuple[int, int, int, int]] = []
    for number, first, answer in REFUSED[layer]:
        check = [(LOAD, 0, 0, 16), (EQUAL, 0, 1, first)] if first is not None else []
        code += [
            (LOAD, 0, 0, 0),
            (EQUAL, 0, len(check) + 1, number),
            *check,
            (RETURN, 0, 0, ERRNO | answer),
        ]
    return b"".join(
        struct.pack("<HBBI", *instruction) for instruction in (*code, (RETURN, 0, 0, ALLOW))
    )


if __name__ == "__main__":
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    seccomp.install(seccomp.Filter(program(sys.argv[1])))
    os.execvp(sys.argv[2], sys.argv[2:])
