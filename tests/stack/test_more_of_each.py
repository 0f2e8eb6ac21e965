"""A stack grows by starting more of the same: a second gateway, a second worker."""

from __future__ import annotations

import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from mecapy_jupyter.client.client import Client
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.shared.errors import MecapyError
from mecapy_jupyter.shared.processes import mecapy_command

from ..ports import free_port
from .running import Stack, environment, until

RUNS = "print({said!r}, flush=True)\nimport time; time.sleep(100)"


@contextmanager
def started(log: Path, *words: str, **settings: str) -> Iterator[None]:
    """`mecapy …` with nothing but settings, as on another host."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            mecapy_command(*words), stdout=out, stderr=out, env=environment(**settings), cwd="/"
        )
        try:
            yield
        finally:
            process.terminate()
            assert process.wait(120) in (0, -signal.SIGTERM), log.read_text()


@pytest.mark.long
def test_second_gateway_and_second_worker(stack: Stack, tmp_path: Path) -> None:
    """Settings and a start command are all they need: two tasks at once run on two workers, and
    each gateway follows the task that was submitted to the other, from its first line.
    """
    port = free_port()
    with ExitStack() as stopped, tempfile.TemporaryDirectory(prefix="mecapy-") as scratch:
        settings = stack.settings()
        stopped.enter_context(
            started(tmp_path / "gateway.log", "gateway", "--port", str(port), **settings)
        )
        stopped.enter_context(
            started(tmp_path / "worker.log", "worker", **settings | {"TMPDIR": scratch})
        )
        first, second = stack.gateway(), Gateway(f"http://127.0.0.1:{port}", stack.token)
        until(lambda: len(_workers(second)) == 2, 240)
        with Client(stack.url, stack.token) as one, Client(second.url, stack.token) as other:
            tasks = [
                one.run(RUNS.format(said="to the first")),
                other.run(RUNS.format(said="to the second")),
            ]
            for task, elsewhere, said in zip(
                tasks, (second, first), ("to the first\n", "to the second\n"), strict=True
            ):
                assert next(
                    event for event in elsewhere.events(task.id) if event.type == "stdout"
                ).data == {"text": said}
            for task, elsewhere in zip(
                tasks, (second, first), strict=True
            ):  # both run now, on workers with one slot each
                elsewhere.post(f"/tasks/{task.id}/cancel")
                assert list(elsewhere.events(task.id))[-1].type == "cancelled"
        ran = {row["task_id"]: row["worker"] for row in first.get("/tasks")["tasks"]}
        assert ran == {row["task_id"]: row["worker"] for row in second.get("/tasks")["tasks"]}
        assert len({ran[task.id] for task in tasks}) == 2


def _workers(gateway: Gateway) -> list[object]:
    try:
        return gateway.get("/workers")
    except MecapyError:
        return []
