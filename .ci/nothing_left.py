"""Run a command, and fail when it leaves a process behind: python nothing_left.py make test

Every orphan below this process becomes its child (Linux' "child subreaper"), also one that made a
session of its own or cleared its environment. So what is left afterwards is known by descent, and
nothing else on the machine is ever touched.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
GRACE_S = 120.0  # a busy machine takes its time; what is left behind is so for good


def left() -> list[int]:
    """Living processes below this one. Ended ones are reaped on the way."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return []
    found, open_ends = [], [os.getpid()]
    while open_ends:
        with contextlib.suppress(OSError):  # it ends just now
            for task in Path(f"/proc/{open_ends.pop()}/task").glob("*/children"):
                below = [int(pid) for pid in task.read_text().split()]
                found += below
                open_ends += below
    return [pid for pid in found if not state(pid).startswith("Z")]


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].strip()
    except OSError:
        return "Z"


def name(pid: int) -> str:
    try:
        return (
            Path(f"/proc/{pid}/cmdline")
            .read_bytes()
            .replace(b"\0", b" ")
            .decode("utf-8", "replace")
            .strip()
        )
    except OSError:
        return "ended meanwhile"


def ending(command: "subprocess.Popen[bytes]") -> int:
    """The command's exit code. Orphans that end meanwhile are reaped at once, as init would: tests
    look for zombies, too.
    """
    while True:
        pid, status = os.wait()
        if pid == command.pid:
            command.returncode = os.waitstatus_to_exitcode(status)
            return command.returncode


def main() -> int:
    if sys.platform != "linux":
        return subprocess.call(sys.argv[1:])
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    signal.signal(
        signal.SIGINT, lambda *_: None
    )  # Ctrl-C reaches the command as well, and it is the command that ends for it
    code = ending(subprocess.Popen(sys.argv[1:]))
    until = time.monotonic() + GRACE_S
    while (remaining := left()) and time.monotonic() < until:
        time.sleep(0.2)
    for pid in remaining:
        print(
            f"left behind by {' '.join(sys.argv[1:])}: process {pid}: {name(pid)}", file=sys.stderr
        )
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return code or bool(remaining)


if __name__ == "__main__":
    sys.exit(main())
