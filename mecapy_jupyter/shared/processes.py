"""Whether a recorded process is still the same one, and how this installation starts MecaPy's
processes.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from mecapy_jupyter.wire.stack import ProcessId


def mecapy_command(*arguments: str) -> tuple[str, ...]:
    """The `mecapy` command of this very installation. -P: nothing in the current folder may stand
    for one of our modules.
    """
    return (sys.executable, "-P", "-m", "mecapy_jupyter.cli", *arguments)


def process_id(pid: int) -> ProcessId:
    """A recorded process."""
    return ProcessId(pid, start_time(pid))


def start_time(pid: int) -> float:
    """When a process was started; 0.0 if it is already gone. On Linux in seconds since the
    machine's start, which is what the kernel knows: a time of day would be another one whenever
    somebody sets the clock, as happens when a virtual machine wakes up.
    """
    import psutil  # late: importing the package must stay cheap

    try:
        if sys.platform == "linux":
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            return int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return psutil.Process(pid).create_time()
    except (OSError, psutil.Error):
        return 0.0


def boot_id() -> str:
    """Differs for each boot of this machine; empty if unknown."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def is_alive(process: ProcessId) -> bool:
    """Whether this is still the recorded process."""
    import psutil

    try:
        status = psutil.Process(process.pid).status()
    except psutil.Error:
        return False
    return status != psutil.STATUS_ZOMBIE and abs(start_time(process.pid) - process.started) < 1.0
