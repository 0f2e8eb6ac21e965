"""What a client sees: connections that break at every event, and a notebook whose worker dies under
a printing cell.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jupyter_client.manager import start_new_kernel

from mecapy_jupyter import wire
from mecapy_jupyter.client.client import Client

from ..gate import Gate
from ..magic.conftest import Kernel
from .asking import balanced
from .stack import TOKEN, Stack
from .task import Task, printed

PRINTING = (
    "import time\nfor n in range(20):\n    print('line', n, flush=True)\n    time.sleep({})\n'told'"
)
LINES = [f"line {n}" for n in range(20)]


@pytest.mark.long
def test_the_connection_breaks_after_every_event(stack: Stack) -> None:
    """Whoever is cut off after each single event has heard every event once, in order, at the
    end.
    """
    task = stack.submit(PRINTING.format(0.05), "told")
    with balanced(stack, stack.of("gateway")[:1]) as way:
        heard = list[wire.Event]()
        for event in stack.events(task, way.url):
            heard.append(event)
            way.mode("cut")
            way.mode("pass")
        assert way.hit > 5
    whole = [event for event in stack.events(task) if event.type != wire.QUEUED]
    *said, final = [event for event in heard if event.type != wire.QUEUED]
    assert said == whole[:-1]
    assert (final.type, final.data) == (
        whole[-1].type,
        whole[-1].data,
    )  # told from the row it has another id
    assert printed(heard).splitlines() == LINES


def test_a_write_whose_answer_is_lost(stack: Stack, gate: Gate) -> None:
    """A worker's connection to Redis breaks again and again under a printing task, so that it
    repeats itself: no line is doubled.
    """
    printing = "    print('line', n, flush=True)\n    n += 1\n    time.sleep(0.1)"
    task = stack.submit(f"import time\nn = 0\nwhile {gate.shut}:\n{printing}\n'told'", "told")
    worker = stack.until_running(task)
    stream = f"mecapy:events:{task.id}"
    with stack.redis() as redis:

        def written() -> list[bytes]:
            return [fields[b"at"] for _, fields in redis.xrange(stream) if b"at" in fields]

        def grows() -> None:
            known = redis.xlen(stream)
            stack.until(lambda: redis.xlen(stream) > known, "the next line")

        def repeats() -> bool:
            grows()
            worker.redis.mode("deaf")  # Redis has the write, the worker does not know
            time.sleep(0.3)
            worker.redis.mode("cut")
            worker.redis.mode("pass")
            grows()
            return len(written()) > len(set(written()))

        stack.until(repeats, "a write is repeated")
        gate.open()
        text = printed(stack.events(task))
        assert text.splitlines() == [f"line {n}" for n in range(len(text.splitlines()))]
    with stack.http() as http:
        again = http.get(f"/tasks/{task.id}/events").text
    said = [json.loads(line[6:]) for line in again.splitlines() if line.startswith("data: ")]
    assert "".join(data["text"] for data in said if "text" in data).count("line 0\n") == 1


@pytest.fixture(scope="module")
def kernel(bare_stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """A real kernel whose cells go to this stack."""
    from notebooks.run_demo import without_mecapy

    folder: Path = tmp_path_factory.mktemp("notebook")
    there = {
        "MECAPY_URL": bare_stack.of("gateway")[0].url,
        "MECAPY_TOKEN": TOKEN,
        "XDG_STATE_HOME": str(folder),
    }
    manager, client = start_new_kernel(
        startup_timeout=240,
        env=without_mecapy() | there,
        cwd=str(folder),
        extra_arguments=["--log-level=ERROR"],
    )
    try:
        kernel = Kernel(manager, client)
        assert kernel.run("%load_ext mecapy_jupyter").ok
        yield kernel
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def newest(stack: Stack) -> Any:
    return stack.sql("SELECT * FROM tasks ORDER BY created_at DESC LIMIT 1")[0]


def test_a_worker_dies_under_a_notebook(stack: Stack, kernel: Kernel, gate: Gate) -> None:
    """kill -9 of the worker in mid-cell: the notebook shows each line once, and so does all that
    shows it later.
    """
    code = (
        "%%mecapy\nimport time\nfor n in range(12):\n    print('line', n, flush=True)\n"
        f"    time.sleep(0.1)\n    while n == 5 and {gate.shut}: time.sleep(0.1)\nlast = n"
    )
    message = kernel.client.execute(code, allow_stdin=False)
    outputs, cleared, task_id, idle = "", 0, "", False
    while not idle:
        said = kernel.client.get_iopub_msg(timeout=60)
        kind, content = said["header"]["msg_type"], said["content"]
        if said["parent_header"].get("msg_id") != message:
            continue
        idle = kind == "status" and content["execution_state"] == "idle"
        if kind == "clear_output":
            outputs, cleared = "", cleared + 1
        outputs += content["text"] if kind == "stream" and content["name"] == "stdout" else ""
        if not task_id and "line 3" in outputs:
            task_id = str(newest(stack)["id"])
            stack.worker_of(Task(task_id)).kill()
            gate.open()
    kernel.client.get_shell_msg(timeout=60)
    wanted = [f"line {n}" for n in range(12)]
    assert task_id and cleared == 1 and outputs.splitlines() == wanted
    row = newest(stack)
    assert row["attempt"] == 2 and row["losses"] == 1
    assert kernel.value("last") == "11"
    assert kernel.run(f"%mecapy logs {task_id[:8]}").stdout.splitlines() == wanted
    attached = kernel.run(f"%mecapy attach {task_id[:8]}")
    assert attached.ok and attached.stdout.splitlines() == wanted
    assert "2nd attempt" in kernel.run("%mecapy tasks").stdout
    client = Client(stack.of("gateway")[0].url, TOKEN)
    assert client.attach(task_id, "", {}).logs().splitlines() == wanted
    client.shutdown()


@pytest.mark.long
def test_a_task_put_aside_can_be_run_again(stack: Stack, gate: Gate) -> None:
    """A task that killed three workers says so, attempt by attempt, and runs when it is
    submitted anew.
    """
    task = stack.submit(f"{gate.wait}'fine'", state="failed")
    for _ in range(3):
        stack.until(lambda: stack.row(task)["state"] == "running", "it runs")
        victim = stack.worker_of(task)
        victim.kill()
        lost = f"-{victim.pid}-"  # another may run it already
        stack.until(
            lambda lost=lost: (
                stack.row(task)["state"] != "running"
                or lost not in (stack.row(task)["worker"] or "")
            ),
            "it is taken back",
        )
        stack.worker()
    assert '"worker_lost"' in stack.final(task)["outcome"]
    with stack.http() as http:
        attempts = http.get(f"/tasks/{task.id}").json()["history"]
    assert [attempt["why"] for attempt in attempts] == ["worker_lost"] * 3
    assert (
        len({attempt["worker"] for attempt in attempts}) == 3 and "3 times" in attempts[-1]["said"]
    )
    gate.open()
    again = stack.submit_again(task.id)
    stack.tasks[-1] = Task(again.id, "fine")
    assert stack.final(again)["attempt"] == 1
