"""Where no control group counts a child's memory."""

from __future__ import annotations

from pathlib import Path

import pytest
from running import options, run

from mecapy_worker.pool import child_factory
from mecapy_worker.pool.pool import Pool

SHARES = """
import ctypes, mmap, multiprocessing, os
m = mmap.mmap(-1, 3 << 20)
if os.fork() == 0:
    m[5:8] = b'abc'
    os._exit(0)
os.wait()
m.resize(4 << 20)
array = multiprocessing.Array('i', 3)
worker = multiprocessing.Process(target=array.__setitem__, args=(1, 7))
worker.start(); worker.join()
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
plain = libc.mmap(None, ctypes.c_size_t(1 << 20), 3, 0x21, -1, ctypes.c_long(0))
refused = plain == ctypes.c_void_p(-1).value
result = [m[5:8].decode(), len(m), list(array), refused, os.listdir('/dev/shm')]
"""


async def test_shared_memory_without_a_file_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cell shares memory as ever, by Python's calls: it lies in the child's /dev/shm, where it is
    counted and bounded. What asks the kernel itself is refused.
    """

    def none(*_: object) -> None:
        raise OSError("none here")

    monkeypatch.setattr(child_factory, "Cgroup", none)
    async with Pool(options(tmp_path)) as pool:
        assert "none here" in pool.report.missing["cgroup"]
        assert (await run(pool, SHARES)).result == ["abc", 4 << 20, [0, 7, 0], True, []]
        too_much = await run(pool, "import mmap; m = mmap.mmap(-1, 5 << 30)")
        assert too_much.error == "OSError"
