"""What a child may take, how it hears that it is too much, and that nothing of it stays. The bombs
are in `tests/security`.
"""

from __future__ import annotations

import pytest
from running import Ran, run, send_code

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_memory_of_one_process(small):
    """A process that asks for too much gets a MemoryError where it asked, and can go on."""
    assert (await run(small, "b = bytearray(300 << 20)")).error == "MemoryError"
    assert (await run(small, "b = bytearray(150 << 20); result = len(b)")).result == 150 << 20


async def test_shared_memory_counts(small):
    """What lies in /dev/shm without being mapped is memory too; and it is the child's own, so
    nothing stays.
    """
    code = (
        "import time\nfor n in range(3): open(f'/dev/shm/mecapy-{n}', 'wb').write(bytes(15 << "
        "20))\nresult = __import__('os').listdir('/dev/shm')"
    )
    assert sorted((await run(small, code)).result) == ["mecapy-0", "mecapy-1", "mecapy-2"]
    assert (await run(small, "import os; result = os.listdir('/dev/shm')")).result == []


async def test_hostile_leftovers_are_removed(pool):
    """Unreadable folders and trees deeper than any path leave nothing behind."""
    code = """
import os
os.mkdir('closed'); open('closed/f', 'w'); os.chmod('closed', 0)
for _ in range(1500):
    os.mkdir('deep' * 10); os.chdir('deep' * 10)
"""
    async with pool.child() as child:
        await send_code(child, code.encode())
        ran = Ran([frame async for frame in child.frames()])
    assert ran.error == ""
    await pool.cleaned()
    assert not child.root.exists()
