"""A child opens the device files of its GPU and no others. Device nodes in a folder stand in for
the real ones; tests/gpu has what needs one.
"""

from __future__ import annotations

import asyncio
import os
import resource
import stat
from pathlib import Path

import pytest
from running import options, run, send_code

from mecapy_jupyter.shared.errors import ConfigError
from mecapy_worker.pool.gpus import Gpu, usable
from mecapy_worker.pool.pool import Pool

SHARED = ("nvidiactl", "nvidia-uvm")
OPENED = """
import os, resource
found = []
for name in names:
    try:
        fd = os.open(name, os.O_RDWR)
        os.write(fd, b'x'); found.append(os.path.basename(name)); os.close(fd)
    except OSError: pass
result = [os.environ.get('CUDA_VISIBLE_DEVICES'), found,
          resource.getrlimit(resource.RLIMIT_AS)[0]]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two GPUs: nodes of /dev/null, which the kernel treats as devices, or files."""
    made = tmp_path / "dev"
    made.mkdir(mode=0o755)
    for name in ("nvidia0", "nvidia1", *SHARED):
        try:
            os.mknod(made / name, stat.S_IFCHR | 0o666, os.makedev(1, 3))
            os.close(os.open(made / name, os.O_RDWR))
        except OSError:
            (made / name).unlink(missing_ok=True)
            (made / name).touch()
        (made / name).chmod(0o666)
    for parent in (made, *made.parents[:-1]):
        parent.chmod(parent.stat().st_mode | 0o111)
    return made


def named(folder: Path) -> list[str]:
    return [str(folder / name) for name in ("nvidia0", "nvidia1", *SHARED)]


def about(folder: Path) -> Path:
    """As the driver describes its GPUs below /proc."""
    for minor, name in ((0, "GPU-aaaa"), (1, "GPU-bbbb")):
        own = folder.parent / "about" / f"0000:0{minor}:00.0"
        own.mkdir(parents=True)
        text = f"Model: \t\t NVIDIA L4\nGPU UUID: \t {name}\nDevice Minor: \t {minor}\n"
        (own / "information").write_text(text)
    return folder.parent / "about"


@pytest.mark.asyncio(loop_scope="module")
async def test_one_each(tmp_path: Path, folder: Path) -> None:
    """Two children at once have one GPU each, a third waits for one; address space is unbounded,
    for CUDA reserves it.
    """
    gpus = usable(2, folder, about(folder), "")
    async with Pool(options(tmp_path / "scratch", sandbox="strict", gpus=gpus)) as pool:
        async with pool.child() as one, pool.child() as other:
            third = asyncio.create_task(run(pool, OPENED, names=named(folder)))
            results = []
            for child in (one, other):
                await send_code(child, OPENED.encode(), names=named(folder))
                results += [
                    frame.header["result"]
                    async for frame in child.frames()
                    if frame.kind == "outcome"
                ]
            assert sorted(results) == [
                ["GPU-aaaa", ["nvidia0", *SHARED], resource.RLIM_INFINITY],
                ["GPU-bbbb", ["nvidia1", *SHARED], resource.RLIM_INFINITY],
            ]
            assert not third.done()
        assert (await third).result in results


@pytest.mark.asyncio(loop_scope="module")
async def test_a_zygote_that_died(tmp_path: Path, folder: Path) -> None:
    """The GPU of a child that was lost is lent again, by the next zygote."""
    (gpu,) = usable(1, folder, folder / "none", "1")
    async with Pool(options(tmp_path / "scratch", gpus=(gpu,))) as pool:
        async with pool.child() as child:
            os.kill(pool.zygote_pid, 9)
            assert [frame.kind async for frame in child.frames()][-1] == "exit"
        visible, found, _ = (await run(pool, OPENED, names=named(folder))).result
        assert (visible, found) == ("1", ["nvidia1", *SHARED])


@pytest.mark.asyncio(loop_scope="module")
async def test_none_without(pool: Pool, folder: Path) -> None:
    """Children of a worker without GPUs open no such device."""
    visible, found, limit = (await run(pool, OPENED, names=named(folder))).result
    assert (visible, found) == (None, []) and limit != resource.RLIM_INFINITY


@pytest.mark.parametrize(
    ("visible", "names"),
    [("", ["0", "1"]), ("1", ["1"]), ("GPU-bbbb", []), ("0,1", ["0", "1"])],
)
def test_what_an_engine_gave(folder: Path, visible: str, names: list[str]) -> None:
    """A worker uses the GPUs that CUDA_VISIBLE_DEVICES names."""
    found = usable(0, folder, folder / "none", visible)
    assert [gpu.name for gpu in found] == names
    if names == ["1"]:
        devices = tuple(str(folder / name) for name in ("nvidia1", *SHARED))
        assert found == (Gpu("1", devices),)


def test_too_few(folder: Path, tmp_path: Path) -> None:
    """A worker that would have to share one does not start."""
    with pytest.raises(ConfigError, match=r"2 GPUs can be used here .* for MECAPY_WORKER_SLOTS=3"):
        usable(3, folder, tmp_path / "none", "")
