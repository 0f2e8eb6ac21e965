"""What the client of the version before says to a gateway, said to the gateway of today."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from mecapy_jupyter import wire

from ..conftest import RunningGateway
from .speak import Worker

PREVIOUS = "7cdd2df"
"""The last commit before gateway, worker and client were given their folders."""

PROGRAM = """
import sys
import mecapy_jupyter
from blake3 import blake3
from mecapy_jupyter import errors, wire
from mecapy_jupyter.gateway.http import Gateway

root, url, token = sys.argv[1:]
assert mecapy_jupyter.__file__.startswith(root), mecapy_jupyter.__file__
gateway = Gateway(url, token)
data = b"an array" * 1000
digest = blake3(data).hexdigest()
needed = {"digests": [{"digest": digest, "size": len(data)}]}
(missing,) = gateway.post("/blobs/missing", needed)["missing"]
gateway.put_bytes(missing["url"], data)
assert b"".join(gateway.get_pieces(f"/blobs/{digest}")) == data

payload = wire.Payload(pickle=b"never opened here", buffers=(digest,))
request = wire.TaskRequest("x + 1", name="sum", inputs={"x": 41}, payload=payload)
submitted, events = gateway.submit(request.as_json(), "a-key")
print(submitted["task_id"], flush=True)
seen = list(events)
assert [event.type for event in seen][-3:] == ["started", "stdout", "completed"], seen
assert seen[-2].data == {"text": "adding"}
outcome = wire.Outcome.from_json(seen[-1].data)
assert (outcome.state, outcome.result, outcome.payload.pickle) == ("completed", 42, b"result")
again = list(gateway.events(submitted["task_id"]))
assert again[-1].data == seen[-1].data

(listed,) = gateway.get("/tasks", name="su*")["tasks"]
assert (listed["status"], listed["name"], listed["attempts"]) == ("completed", "sum", 1)
looked = gateway.get(f"/tasks/{listed['task_id']}")
assert looked["result"] == 42 and [one["why"] for one in looked["history"]] == ["completed"]
waiting, _ = gateway.submit(wire.TaskRequest("1").as_json(), "another-key")
assert gateway.post(f"/tasks/{waiting['task_id']}/cancel")["status"] == "cancelled"
me = gateway.get("/me")
assert me["owner"] == "local" and me["tasks"] == {"queued": 0, "running": 0} and me["quotas"]
gateway.delete(f"/tasks/{listed['task_id']}")
try:
    gateway.get(f"/tasks/{listed['task_id']}")
except errors.MecapyError as gone:
    assert "GET /tasks lists" in str(gone), gone
else:
    raise AssertionError("a forgotten task is still there")
print("it works")
"""


@pytest.fixture
def previous(tmp_path: Path) -> Path:
    """The client of that version, in a folder."""
    root = Path(__file__).parents[2]
    archive = subprocess.run(
        ["git", "-C", str(root), "archive", PREVIOUS, "mecapy_jupyter"], capture_output=True
    )
    if archive.returncode:
        pytest.skip(f"no git history with {PREVIOUS} here: {archive.stderr.decode()[:200]}")
    with tarfile.open(fileobj=BytesIO(archive.stdout)) as files:
        files.extractall(tmp_path / "previous", filter="data")
    return tmp_path / "previous"


async def test_works_with_this_gateway(
    previous: Path, gateway: RunningGateway, tmp_path: Path
) -> None:
    """Blobs, a submission and its events, lists, cancelling, errors: all read as before."""
    (program := tmp_path / "program.py").write_text(PROGRAM)
    client = await asyncio.create_subprocess_exec(
        sys.executable, program, previous, gateway.url, gateway.token,
        env=os.environ | {"PYTHONPATH": str(previous)},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert client.stdout and client.stderr
    task_id = (await client.stdout.readline()).decode().strip()
    if task_id:
        async with Worker(gateway) as worker:
            await worker.start(task_id)
            await worker.says(task_id, wire.StdoutEvent("adding"))
            payload = wire.Payload(pickle=b"result")
            outcome = wire.Outcome(wire.COMPLETED, result=42, payload=payload, seconds=0.1)
            await worker.finish(task_id, outcome)
    stdout, stderr = await client.communicate()
    assert stdout == b"it works\n", stderr.decode()
