"""`mecapy up` and what keeps it up."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.shared import errors
from mecapy_jupyter.shared.processes import mecapy_command
from mecapy_jupyter.wire.stack import StackStatus

from .running import Stack, environment, start, until


def healthy(status: StackStatus) -> bool:
    return all(part.healthy for part in status.components)


def test_status_names_every_component(stack: Stack) -> None:
    """`mecapy status --json` names gateway, redis, postgres and worker, each alive and healthy,
    under the URL that `up` printed.
    """
    until(lambda: healthy(stack.status()))
    done = subprocess.run(
        mecapy_command("status", "--json", "--data", str(stack.data)),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    found = json.loads(done.stdout)
    assert found["url"] == stack.url
    assert found["supervisor"]["pid"] == stack.process.pid
    assert sorted(part["name"] for part in found["components"]) == [
        "gateway",
        "postgres",
        "redis",
        "worker",
    ]
    for part in found["components"]:
        assert part["healthy"] and psutil.pid_exists(part["pid"])
        assert part["name"] != "worker" or part["id"]


def test_a_task_runs(stack: Stack) -> None:
    """What `up` started runs a task."""
    assert stack.runs_a_task() == 42


def test_secrets_are_private(stack: Stack) -> None:
    """Nobody else can read the token, and no secret stands on a command line or
    in the state file.
    """
    secrets = [
        path.read_text().strip()
        for path in stack.data.iterdir()
        if path.name == "token" or path.suffix == ".secret"
    ]
    assert len(secrets) == 3
    for path in stack.data.iterdir():
        if path.name == "token" or path.suffix == ".secret":
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(stack.data.stat().st_mode) == 0o700
    shown = (stack.data / "stack.json").read_text()
    for process in stack.processes():
        with suppress(psutil.NoSuchProcess):  # one that ends just now
            shown += " ".join(process.cmdline())
    assert not [secret for secret in secrets if secret in shown]


def test_only_loopback(stack: Stack) -> None:
    """Nothing of the stack listens anywhere but on 127.0.0.1."""
    addresses = set[str]()
    for process in stack.processes():
        with suppress(psutil.NoSuchProcess):  # one that ends just now
            addresses |= {
                connection.laddr.ip
                for connection in process.net_connections("inet")
                if connection.status == "LISTEN"
            }
    assert addresses == {"127.0.0.1"}


def test_second_up_is_refused(stack: Stack) -> None:
    """A second `up` on the same data says where the first one serves, and fails."""
    done = subprocess.run(
        mecapy_command("up", "--data", str(stack.data)),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 3
    assert stack.url in done.stderr


@pytest.mark.parametrize("name", ["gateway", "redis", "postgres", "worker"])
def test_what_dies_is_started_again(stack: Stack, name: str) -> None:
    """A component killed with -9 is back within seconds, and the stack runs tasks as before."""
    before = stack.part(name).process.pid
    os.kill(before, signal.SIGKILL)

    def back() -> bool:
        return any(
            part.name == name and part.process.pid != before and part.healthy
            for part in stack.status().components
        )

    until(back, 120)
    assert stack.runs_a_task() == 42
    until(lambda: healthy(stack.status()))


@pytest.mark.long
def test_side_by_side(stack: Stack, tmp_path: Path) -> None:
    """Two stacks have their own address and token, and neither ends with the other."""
    other = Stack.up(tmp_path / "other")
    try:
        assert other.url != stack.url
        with pytest.raises(errors.NotAuthorized):
            Gateway(other.url, stack.token).get("/me")
        assert other.runs_a_task() == 42
    finally:
        other.down()
    until(lambda: healthy(stack.status()))
    assert stack.runs_a_task() == 42


def test_down_leaves_nothing_and_data_stays(tmp_path: Path) -> None:
    """`mecapy down` ends every process and forgets the token; started again, address, tasks and
    results are the same.
    """
    first = Stack.up(tmp_path / "data")
    task_id = first.submit("print('kept'); 6 * 7")
    until(lambda: first.final(task_id), 120)
    processes = first.processes()
    done = subprocess.run(
        mecapy_command("down", "--data", str(first.data)),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    first.close()
    assert (done.returncode, done.stdout.strip()) == (0, "stopped")
    assert first.process.returncode == 0
    _, alive = psutil.wait_procs(processes, 120)
    assert not alive and not (first.data / "token").exists()
    second = Stack.up(first.data)
    try:
        assert second.url == first.url and second.token != first.token
        assert second.task(task_id).result == 42
    finally:
        second.down()


def test_ctrl_c(tmp_path: Path) -> None:
    """Ctrl-C while the stack is still starting leaves no process and no error."""
    process = start(tmp_path / "data")
    until(lambda: (tmp_path / "data" / "stack.json").exists())
    everything = [
        psutil.Process(process.pid),
        *psutil.Process(process.pid).children(recursive=True),
    ]
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=240)
    assert (process.returncode, stderr) == (0, b"")
    assert not psutil.wait_procs(everything, 120)[1]


def test_what_never_starts_is_explained(tmp_path: Path) -> None:
    """A component that ends at every start makes `up` fail with the end of its log, and leaves
    nothing behind.
    """
    broken = environment(MECAPY_WORKER_SLOTS="none")
    done = subprocess.run(
        mecapy_command("up", "--data", str(tmp_path)),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env=broken,
    )
    assert done.returncode == 1
    assert "worker_slots" in done.stderr.lower()
    assert not (tmp_path / "stack.json").exists()


def test_taken_port_is_explained(stack: Stack, tmp_path: Path) -> None:
    """A port in use is a sentence, not a traceback."""
    port = stack.url.rpartition(":")[2]
    done = subprocess.run(
        mecapy_command("up", "--data", str(tmp_path), "--port", port),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env=environment(),
    )
    assert done.returncode == 1
    assert f"port {port}" in done.stderr
    assert "--port" in done.stderr
