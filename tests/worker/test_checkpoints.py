"""What a task keeps for its next attempt, and when it is forgotten."""

from __future__ import annotations

import os
import signal
from typing import Any

import sqlalchemy as sa

from mecapy_worker.run.consumer import Consumer

from .conftest import OWNER, Desk, text_of

GOES_ON = """
import os, time
import mecapy_jupyter
class Step:
    def __init__(self, number):
        self.number = number
state = mecapy_jupyter.restored(Step(0))
if state.number < 7:
    for number in range(1, 8):
        mecapy_jupyter.checkpoint(Step(number))
    print("pid", os.getcwd(), flush=True)
    time.sleep(3000)
[state.number, isinstance(state, Step), mecapy_jupyter.restored(0) is not state]
"""


async def kept(desk: Desk, task_id: str) -> tuple[str | None, list[str], int]:
    """The checkpoint, the blobs that the task names, and how many blobs its owner has."""
    query = "SELECT checkpoint, digests FROM tasks WHERE id = :id"
    count = "SELECT count(*) FROM blobs WHERE owner = :owner"
    async with desk.db.connect() as connection:
        row = (await connection.execute(sa.text(query), {"id": task_id})).one()
        blobs = (await connection.execute(sa.text(count), {"owner": OWNER})).scalar_one()
    return row.checkpoint, row.digests, blobs


async def test_after_a_killed_child(desk: Desk, worker: Consumer) -> None:
    """A retry gets the last checkpoint, an object of the cell's own class; the one before is named
    no longer, and none once the task has ended. A task of its own gets nothing.
    """
    task_id = await desk.submit(GOES_ON, retries=1, timeout=6000.0)
    pid = await desk.pid(task_id)
    checkpoint, digests, _ = await kept(desk, task_id)
    assert checkpoint and digests == [checkpoint]
    os.kill(pid, signal.SIGKILL)
    outcome = await desk.outcome(task_id)
    assert outcome.result == [7, True, True]

    async def forgotten() -> bool:
        return (await kept(desk, task_id))[:2] == (None, [])

    await desk.eventually(forgotten)
    assert (
        await desk.run("import mecapy_jupyter; mecapy_jupyter.restored('none')")
    ).result == "none"


async def test_after_a_killed_worker(desk: Desk, start_worker: Any) -> None:
    """Another worker goes on where the lost one's last checkpoint was."""
    first = await start_worker(lease_s=4.0)
    task_id = await desk.submit(GOES_ON, timeout=6000.0)
    await desk.pid(task_id)
    first.signal(signal.SIGKILL)
    await start_worker()
    assert (await desk.outcome(task_id)).result == [7, True, True]


async def test_one_that_is_too_large(desk: Desk, worker: Consumer) -> None:
    """It is not kept, which the task's stderr says; the task goes on, and the one before stays."""
    code = """
import mecapy_jupyter
mecapy_jupyter.checkpoint("small")
mecapy_jupyter.checkpoint(bytes(60_000_000))
if mecapy_jupyter.restored() is None:
    import os, signal
    os.kill(os.getpid(), signal.SIGKILL)
mecapy_jupyter.restored()
"""
    task_id = await desk.submit(code, retries=1)
    seen = await desk.until(task_id, "completed", "failed")
    assert seen[-1].data["result"] == "small"
    said = text_of(seen, "stderr")
    assert "this checkpoint is not kept: it is larger than 50 MB (MECAPY_MAX_RESULT_BYTES)" in said


async def test_what_is_no_file(desk: Desk, worker: Consumer) -> None:
    """A link that a task puts in its place is not followed."""
    code = """
import os, mecapy_jupyter
from mecapy_jupyter.travel import checkpoints
real = os.replace
def link(source, target):
    os.unlink(source)
    os.symlink("/etc/passwd", target)
os.replace = link
mecapy_jupyter.checkpoint(1)
os.replace = real
"""
    task_id = await desk.submit(code)
    seen = await desk.until(task_id, "completed", "failed")
    assert "this checkpoint is not kept" in text_of(seen, "stderr")
    assert (await kept(desk, task_id))[2] == 0
