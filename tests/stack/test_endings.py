"""How a stack ends when nobody says `mecapy down`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from mecapy_jupyter.shared import errors
from mecapy_jupyter.shared.data_dir import data_dir
from mecapy_jupyter.shared.processes import boot_id, start_time
from mecapy_jupyter.stack.embedded import down

from .running import Stack, until


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux tells a child that its parent has died"
)
def test_killed_supervisor_takes_all_along(tmp_path: Path) -> None:
    """After kill -9 of the supervisor its components end by themselves, and the next `up` finds all
    tasks.
    """
    first = Stack.up(tmp_path / "data")
    assert first.runs_a_task() == 42
    processes = first.processes()
    left = [
        Path(folder) for folder in json.loads(data_dir(first.data).state.read_text())["temporary"]
    ]
    assert all(folder.is_dir() for folder in left)
    os.kill(first.process.pid, signal.SIGKILL)
    first.close()
    _, alive = psutil.wait_procs(processes, 120)
    assert not alive
    second = Stack.up(first.data)
    try:
        assert not [folder for folder in left if folder.exists()]
        assert [task.status for task in second.tasks()] == ["completed"]
    finally:
        second.down()


def test_idle_stack_ends(tmp_path: Path) -> None:
    """With --idle-stop a stack ends by itself, but not while a task runs or somebody asks."""
    for idle_s in (5, 30):  # a busy machine may take longer than that to send the task
        stack = Stack.up(tmp_path / "data", "--idle-stop", str(idle_s))
        with suppress(errors.Unavailable):
            task_id = stack.submit(f"import time; time.sleep({idle_s} + 1); 1")
            break
        stack.close()
    else:
        raise AssertionError("it ended before a task could be sent")
    until(
        lambda: stack.final(task_id), 240
    )  # it also asked; the next line shows that the task alone was enough
    stack.line("nothing to do")
    assert stack.process.wait(120) == 0
    assert not data_dir(stack.data).state.exists()
    stack.close()


def test_leftovers_are_ended_by_pid_and_birth(tmp_path: Path) -> None:
    """What a killed supervisor left is ended by `down`; a process that merely has such a pid is not
    touched.
    """
    place = data_dir(tmp_path)
    left = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True
    )
    stranger = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        parts = [
            {"name": "gateway", "pid": left.pid, "created": start_time(left.pid), "healthy": True},
            {"name": "worker", "pid": stranger.pid, "created": 1000.0, "healthy": True},
        ]
        left_behind = {
            "boot": boot_id(),
            "supervisor": {"pid": 2**22 + 1, "created": 1.0},
            "url": "",
            "ready": True,
            "components": parts,
        }
        place.state.write_text(
            json.dumps(left_behind | {"boot": "another"})
        )  # before this machine was started anew
        assert not down(tmp_path) and left.poll() is None
        place.state.write_text(json.dumps(left_behind))
        assert down(tmp_path)
        assert left.wait(120) == -signal.SIGTERM
        assert stranger.poll() is None
        assert not place.state.exists()
        assert not down(tmp_path)
    finally:
        for process in (left, stranger):
            process.kill()
            process.communicate()


@pytest.mark.long
def test_a_disk_that_is_full_ends_no_stack(tmp_path: Path) -> None:
    """Where the state file cannot be written that is said once; components are kept running, and
    `down` ends them in order.
    """
    stack = Stack.up(tmp_path / "data")
    draft = data_dir(stack.data).state.with_suffix(".new")
    draft.mkdir()  # as good as a full disk: it cannot be written
    killed = stack.part("gateway").process.pid
    os.kill(killed, signal.SIGKILL)
    stack.line("could not record the running processes")
    assert stack.runs_a_task() == 42
    draft.rmdir()
    stack.down()
    assert stack.process.returncode == 0 and not data_dir(stack.data).state.exists()
