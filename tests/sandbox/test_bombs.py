# ruff: noqa: E501 (a line of code to run stands better on one line)
"""Children that take all they can get: each hurts only itself, is named for it, and leaves nothing."""

from __future__ import annotations

import time

import pytest
from running import Ran, group_members, is_alive, run, serves

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_fork_bomb(small):
    """A fork bomb is stopped as `processes`, and all of it is gone within a second of the stop being due."""
    began = time.monotonic()
    async with small.child() as child:
        await child.send("task", body=b"import os\nwhile True:\n    try: os.fork()\n    except OSError: pass")
        ran = Ran([frame async for frame in child.frames()])
        took = time.monotonic() - began
        assert group_members(child.pid) == []
    assert ran.headers("limit")[0]["kind"] == "processes"
    assert ran.exit == {"signal": 9}
    assert took < 3  # a second where the machine has nothing else to do
    assert await serves(small)


async def test_daemon_dies_with_its_child(pool):
    """A process that detached twice, asked for its own session and ignores SIGTERM is dead when the child's context is left."""
    code = """
import os, signal, time
r, w = os.pipe()
if os.fork() == 0:
    os.setsid()
    os.setpgid(0, 0)
    if os.fork() == 0:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        os.write(w, str(os.getpid()).encode())
        time.sleep(1000)
    os._exit(0)
os.wait()
result = int(os.read(r, 100))
"""
    ran = await run(pool, code)
    assert ran.exit == {"code": 0}
    assert not is_alive(ran.result)
    assert await serves(pool)


async def test_memory_of_one_process(small):
    """A process that asks for too much gets a MemoryError where it asked, and can go on."""
    assert (await run(small, "b = bytearray(300 << 20)")).error == "MemoryError"
    assert (await run(small, "b = bytearray(150 << 20); result = len(b)")).result == 150 << 20


async def test_memory_of_many_processes(small):
    """Processes that stay within the limit each, and exceed it together, are stopped as `memory`."""
    code = """
import os, time
for _ in range(4):
    if os.fork() == 0:
        b = bytearray(os.urandom(1 << 20)) * 100
        time.sleep(1000)
time.sleep(1000)
"""
    ran = await run(small, code)
    assert ran.headers("limit")[0]["kind"] == "memory"
    assert ran.exit == {"signal": 9}
    assert await serves(small)


async def test_shared_memory_counts(small):
    """What lies in /dev/shm without being mapped is memory too; and it is the child's own, so nothing stays."""
    code = "import time\nfor n in range(3): open(f'/dev/shm/mecapy-{n}', 'wb').write(bytes(15 << 20))\nresult = __import__('os').listdir('/dev/shm')"
    assert sorted((await run(small, code)).result) == ["mecapy-0", "mecapy-1", "mecapy-2"]
    assert (await run(small, "import os; result = os.listdir('/dev/shm')")).result == []


@pytest.mark.parametrize(
    "code",
    [
        "import time\nfor n in range(40): open(f'f{n}', 'wb').write(bytes(1 << 20))\ntime.sleep(1000)",
        "import os, time\nfs = []\nfor n in range(40):\n    f = open('f', 'wb'); f.write(bytes(1 << 20)); f.flush(); os.unlink('f'); fs.append(f)\ntime.sleep(1000)",
        "import os, time\nos.mkdir('d')\nfor n in range(40): open(f'd/f{n}', 'wb').write(bytes(1 << 20))\nos.chmod('d', 0)\ntime.sleep(1000)",
    ],
    ids=["files", "deleted files", "hidden files"],
)
async def test_disk_bomb(small, code):
    """Many files, deleted or hidden ones too, are stopped as `disk`."""
    ran = await run(small, code)
    assert ran.headers("limit")[0]["kind"] == "disk"
    assert await serves(small)


async def test_one_large_file(small):
    """A single file cannot grow past what a task may write."""
    assert (await run(small, "open('f', 'wb').write(bytes(30 << 20))")).error == "OSError"


async def test_hostile_leftovers_are_removed(pool):
    """Unreadable folders and trees deeper than any path leave nothing behind."""
    code = """
import os
os.mkdir('closed'); open('closed/f', 'w'); os.chmod('closed', 0)
for _ in range(1500):
    os.mkdir('deep' * 10); os.chdir('deep' * 10)
"""
    async with pool.child() as child:
        await child.send("task", body=code.encode())
        ran = Ran([frame async for frame in child.frames()])
    assert ran.error == ""
    await pool.cleaned()
    assert not child.root.exists()


async def test_output_without_end(pool):
    """A flood of output waits for its reader and is not gathered in the worker's memory."""
    async with pool.child() as child:
        await child.send("task", body=b"import os\nwhile True: os.write(1, b'x' * 65536)")
        seen = 0
        async for frame in child.frames():
            seen += len(frame.body)
            if seen > 4 << 20:
                break
        await child.kill()
        assert group_members(child.pid) == []
    assert await serves(pool)
