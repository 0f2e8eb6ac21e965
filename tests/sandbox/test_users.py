"""A pool run by another user, or by a root whose Python everybody may use: confined as well, and
gone when its worker is.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from running import HERE, is_alive

import mecapy_jupyter
import mecapy_worker
from mecapy_worker.pool.uids import Uids
from mecapy_worker.zygote import host_capabilities

NOBODY = 65534


def public_python() -> str:
    """A Python of at least 3.11 that any user may run."""
    for found in (
        sys.executable,
        *(
            shutil.which(f"python3.{minor}", path="/usr/local/bin:/usr/bin")
            for minor in range(11, 16)
        ),
    ):
        with suppress(PermissionError):
            if (
                found
                and subprocess.run(
                    [found, "-c", ""], user=NOBODY, cwd="/", stderr=subprocess.DEVNULL
                ).returncode
                == 0
            ):
                return found
    pytest.skip("no Python here that an unprivileged user may run")


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder outside of root's own, with a copy of the package and a scratch for anybody."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    folder = Path("/tmp", f"mecapy-users-{os.getpid()}")
    shutil.copytree(HERE, folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    for package in (mecapy_worker, mecapy_jupyter):  # a worker imports the contract of the client
        source = Path(str(package.__file__)).parent
        shutil.copytree(
            source, folder / "packages" / source.name, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copy(HERE.parent / "security/without.py", folder / "tests")
    (folder / "scratch").mkdir()
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@contextmanager
def worker(
    place: Path, python: str, uid: int, *launcher: str, child: str = "tiny_child"
) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    os.chown(place / "scratch", uid, uid)
    command = [python, *launcher, "tests/one_pool.py", str(place / "scratch"), child]
    env = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": f"{place}/packages:{place}/tests",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    with subprocess.Popen(
        command,
        cwd=place,
        env=env,
        user=uid,
        group=uid,
        extra_groups=[],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout
        try:
            yield process, json.loads(process.stdout.readline())
        finally:
            process.kill()


@pytest.mark.parametrize("uid", [NOBODY, 0], ids=["unprivileged", "root"])
def test_other_users(place, uid):
    """An unprivileged worker confines as strictly as root's; root gives each child an own user. A
    fork bomb ends either way.
    """
    with worker(place, public_python(), uid) as (process, told):
        assert told["report"]["level"] == "strict" and told["report"]["through"] == []
        assert (
            "pid_namespace" in told["report"]["layers"]
            or "pid_namespace" in told["report"]["missing"]
        )
        assert told["answer"][1] == []
        assert (told["answer"][0] != 0) if uid == 0 else (told["answer"][0] == uid)
        assert told["kept"] and told["own"] == [0o700, 1]
        assert told["bomb"] in ({"signal": 9}, {"code": 0})
        process.communicate("end\n", timeout=240)
        assert process.returncode == 0
        assert not any(map(is_alive, told["pids"]))


@pytest.mark.parametrize("uid", [NOBODY, 0], ids=["unprivileged", "root"])
def test_where_no_namespace_is_allowed(place, uid):
    """Where unshare(2) is refused, as in Docker's default profile, tasks run, end and are held as
    strictly, and the report says why.
    """
    python = public_python()
    with worker(place, python, uid, "tests/without.py", "pid_namespace", python) as (process, told):
        assert told["report"]["level"] == "strict" and told["report"]["through"] == []
        assert all(
            "Operation not permitted" in told["report"]["missing"][layer]
            for layer in ("pid_namespace", "private_shm")
        )
        assert told["kept"] and (told["own"] == [0o700, 1]) == (
            uid == 0
        )  # who has no uid of its own only believes that it changed them
        assert told["bomb"] in ({"signal": 9}, {"code": 0})
        process.communicate("end\n", timeout=240)
        assert process.returncode == 0
        assert not any(map(is_alive, told["pids"]))


@pytest.mark.parametrize("uid", [NOBODY, 0], ids=["unprivileged", "root"])
def test_where_only_seccomp_bounds_signals(place, uid):
    """No thread of the worker can be signalled, and the cell's own processes can."""
    with worker(place, public_python(), uid, child="shielded_child") as (process, told):
        assert told["report"]["level"] == "strict" and told["report"]["through"] == []
        assert "pid_namespace" not in told["report"]["layers"] and told["report"]["landlock"] == 5
        assert told["reached"] == [15, -9]
        process.communicate("end\n", timeout=240)
        assert process.returncode == 0


def test_worker_killed(place):
    """When the worker is killed, its zygote ends all children and what they started, and then
    itself.
    """
    with worker(place, public_python(), 0) as (process, told):
        assert all(map(is_alive, told["pids"]))
        process.send_signal(signal.SIGKILL)
        process.wait()
        deadline = time.monotonic() + 120
        while any(map(is_alive, told["pids"])) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert not any(map(is_alive, told["pids"]))


def test_no_user_is_two_children_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The numbers of users come round again: a child that still lives keeps its own for itself,
    also before the children of another worker; when all are taken, it says so.
    """
    monkeypatch.setattr(host_capabilities, "UIDS", 5)
    one, other = (Uids(tmp_path / "locks") for _ in range(2))
    uids = [one.take(f"child-{number}", number) for number in (1, 4, 7)]
    if os.geteuid() == 0:
        uids += [other.take(f"child-{number}", 1) for number in (1, 2)]
        with pytest.raises(OSError, match="taken"):
            other.take("child-3", 1)
        one.give_back("child-1")
        assert other.take("child-3", 1) == uids.pop(0)
        other.close()  # as the death of its worker
        uids = [*uids[:2], one.take("child-1", 1), one.take("child-8", 8), one.take("child-9", 9)]
    assert len(set(uids)) == len(uids)
    one.close()
