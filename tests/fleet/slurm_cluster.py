"""A real Slurm of two nodes on this host: munged, slurmctld and two slurmd, without systemd."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from ..ports import free_port

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "scontrol", "sinfo")
WITHIN_S = 240.0

CONFIG = """
ClusterName=test
SlurmctldHost={host}
SlurmUser={user}
SlurmdUser={user}
SlurmctldPort={controller}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.sock
CryptoType=crypto/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_interval=1,bf_interval=1
KillWait=20
SlurmdParameters=config_overrides
NodeName=n1 NodeHostname={host} Port={first} CPUs={cpus} RealMemory={memory_mb}
NodeName=n2 NodeHostname={host} Port={second} CPUs={cpus} RealMemory={memory_mb}
PartitionName=work Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
"""


def missing() -> str:
    """Why there can be no Slurm here; "": there can."""
    absent = [one for one in PROGRAMS if shutil.which(one, path=_PATH) is None]
    if absent:
        return f"needs Slurm ({', '.join(absent)}): apt-get install slurm-wlm munge"
    return "" if os.geteuid() == 0 else "slurmctld and slurmd need root here"


_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"


@contextlib.contextmanager
def running(folder: Path, cpus: int = 2, memory_mb: int = 2000) -> Iterator[Path]:
    """Yields the path of slurm.conf, for SLURM_CONF. Nothing is left when it ends. Slurm believes
    what it is told of its nodes.
    """
    host = socket.gethostname().partition(".")[0]
    ports = [free_port() for _ in range(3)]
    names = dict(zip(("controller", "first", "second"), ports, strict=True))
    config = folder / "slurm.conf"
    sizes = {"cpus": cpus, "memory_mb": memory_mb}
    who = {"host": host, "user": getpass.getuser(), "folder": folder}
    config.write_text(CONFIG.format(**who, **sizes, **names))
    for name in ("state", "n1", "n2"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    socket_path, log = folder / "munge.sock", folder / "munged.log"
    environment = os.environ | {"SLURM_CONF": str(config), "PATH": _PATH}
    commands = [
        [
            "munged", "--foreground", f"--socket={socket_path}", f"--key-file={key}",
            f"--pid-file={folder / 'munged.pid'}", f"--log-file={log}",
            f"--seed-file={folder / 'munge.seed'}", "--force",
        ],
        ["slurmctld", "-D", "-f", str(config)],
        ["slurmd", "-D", "-N", "n1", "-f", str(config)],
        ["slurmd", "-D", "-N", "n2", "-f", str(config)],
    ]  # fmt: skip
    started = list[subprocess.Popen[bytes]]()
    try:
        for command in commands:
            with (folder / f"{command[0]}-{len(started)}.out").open("wb") as out:
                started.append(subprocess.Popen(command, env=environment, stdout=out, stderr=out))
            if command[0] == "munged":
                _until(socket_path.exists, "munged")
        _until(lambda: _idle(environment) == 2, "two idle nodes")
        yield config
    finally:
        for process in reversed(started):
            process.send_signal(signal.SIGTERM)
        for process in reversed(started):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            if process.poll() is None:
                process.kill()
                process.wait()


def _idle(environment: dict[str, str]) -> int:
    asked = ["sinfo", "--noheader", "--Node", "--states=idle", "--format=%N"]
    ran = subprocess.run(asked, env=environment, capture_output=True, text=True, check=False)
    return len(ran.stdout.split())


def _until(condition: Callable[[], bool], what: str) -> None:
    limit = time.monotonic() + WITHIN_S
    while not condition():
        assert time.monotonic() < limit, f"Slurm: {what}"
        time.sleep(0.1)
