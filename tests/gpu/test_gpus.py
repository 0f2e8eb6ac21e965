"""Real GPUs in confined children, asked by CUDA's own driver library, and by torch or cupy where
one is installed.
"""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from mecapy_jupyter.shared.errors import ConfigError
from mecapy_worker.pool.gpus import Gpu, usable
from mecapy_worker.pool.pool import Pool

sys.path.insert(0, str(Path(__file__).parents[1] / "sandbox"))

from running import options, run, send_code

MB = 1 << 20
# Its UUID, its number of devices, free bytes, and so much held until the end.
ASKED = """
import ctypes
cuda = ctypes.CDLL('libcuda.so.1')
def ask(name, *arguments):
    code = getattr(cuda, name)(*arguments)
    assert code == 0, (name, code)
count, device, context = ctypes.c_int(), ctypes.c_int(), ctypes.c_void_p()
ask('cuInit', 0)
ask('cuDeviceGetCount', ctypes.byref(count))
ask('cuDeviceGet', ctypes.byref(device), 0)
uuid = (ctypes.c_ubyte * 16)()
ask('cuDeviceGetUuid', uuid, device)
ask('cuCtxCreate_v2', ctypes.byref(context), 0, device)
free, total, held = ctypes.c_size_t(), ctypes.c_size_t(), ctypes.c_void_p()
ask('cuMemGetInfo_v2', ctypes.byref(free), ctypes.byref(total))
ask('cuMemAlloc_v2', ctypes.byref(held), ctypes.c_size_t(holds))
ask('cuMemsetD8_v2', held, ctypes.c_ubyte(7), ctypes.c_size_t(holds))
result = [bytes(uuid).hex(), count.value, free.value, total.value]
"""
LIBRARIES = {
    "torch": "import torch\nx = torch.ones(1000, 1000).cuda()\nresult = (x @ x).sum().item()",
    "cupy": "import cupy\nx = cupy.ones((1000, 1000))\nresult = float((x @ x).sum())",
}


def found() -> tuple[Gpu, ...]:
    try:
        return usable(1)
    except (ConfigError, OSError):
        return ()


GPUS = found()
pytestmark = [
    pytest.mark.skipif(not GPUS, reason="needs an NVIDIA GPU: there is no /dev/nvidia0 that opens"),
    pytest.mark.asyncio(loop_scope="module"),
]


def pool(scratch: Path) -> Pool:
    wanted = {"memory_bytes": 16 << 30, "sandbox": "strict", "gpus": GPUS}
    return Pool(options(scratch, **wanted))


async def test_memory_is_freed(tmp_path: Path) -> None:
    """A child sees one GPU; half of its memory, held until the child ended, is free for the next
    one.
    """
    async with pool(tmp_path) as opened:
        uuid, count, free, total = (await run(opened, ASKED, holds=MB)).result
        assert count == 1
        for _ in range(3 * len(GPUS)):
            other, _, later, _ = (await run(opened, ASKED, holds=total // 2)).result
            if other == uuid:
                assert later > free - 64 * MB


@pytest.mark.skipif(len(GPUS) < 2, reason="needs two GPUs")
async def test_one_each(tmp_path: Path) -> None:
    """Two children at once have different ones."""

    async def answer(child: Any) -> list[Any]:
        await send_code(child, ASKED.encode(), holds=MB)
        outcomes = [one.header async for one in child.frames() if one.kind == "outcome"]
        return outcomes[0]["result"]

    async with pool(tmp_path) as opened, opened.child() as one, opened.child() as other:
        first, second = await asyncio.gather(answer(one), answer(other))
        assert first[0] != second[0] and first[1] == second[1] == 1


@pytest.mark.parametrize("name", LIBRARIES)
async def test_libraries(tmp_path: Path, name: str) -> None:
    """They multiply matrices there."""
    if not importlib.util.find_spec(name):
        pytest.skip(f"needs {name} (pip install {name})")
    async with pool(tmp_path) as opened:
        assert (await run(opened, LIBRARIES[name])).result == 1e9
