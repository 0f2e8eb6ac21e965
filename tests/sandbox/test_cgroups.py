"""Version 2 of the control groups, where it is mounted: alone in a mount namespace of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import mecapy_worker

ALONE = """
import subprocess
from mecapy_worker.shared import libc
from mecapy_worker.pool.cgroups import Cgroup
libc.unshare(libc.CLONE_NEWNS)
libc.mount("none", "/", "", libc.MS_REC | libc.MS_SLAVE)
kinds = {line.split()[1]: line.split()[2] for line in open("/proc/mounts")}
for place in [place for place, kind in kinds.items() if kind == "cgroup"]:
    subprocess.run(["umount", place], check=True)
try:
    group = Cgroup(1 << 30, 100, 1 << 28)
    print(group.version)
    group.close()
except OSError as error:
    print(error)
"""


def test_version_2(tmp_path):
    """With no other version in sight it is used, or says why not: where version 1 has memory and
    pids, there is nothing to delegate.
    """
    unified = [
        line.split()[1]
        for line in Path("/proc/mounts").read_text().splitlines()
        if line.split()[2] == "cgroup2"
    ]
    if not unified or os.geteuid() != 0:
        pytest.skip("no version 2 is mounted here, or only root may look at it alone")
    env = os.environ | {"PYTHONPATH": str(Path(mecapy_worker.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", ALONE], capture_output=True, text=True, env=env, check=False
    )
    if "umount" in done.stderr or "Operation not permitted" in done.stderr:
        pytest.skip("this container may not unmount, even its own")
    delegated = {"memory", "pids"} <= set(
        (Path(unified[0]) / "cgroup.controllers").read_text().split()
    )
    said = (
        ("2", "none is delegated to us")
        if delegated
        else ("memory and pids are not delegated to our control group",)
    )
    assert done.stdout.startswith(said), done.stdout + done.stderr
