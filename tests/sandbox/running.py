"""Run code in a child and gather all it said."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mecapy_worker.pool.pool import ChildHandle, Pool, PoolOptions
from mecapy_worker.shared.frames import Frame

HERE = Path(__file__).parent


def options(scratch: Path, **changes: Any) -> PoolOptions:
    return PoolOptions(
        **({"scratch": scratch, "child_module": "tiny_child", "python_path": (HERE,)} | changes)
    )


@dataclass
class Ran:
    frames: list[Frame] = field(default_factory=list)

    def headers(self, kind: str) -> list[dict[str, Any]]:
        return [frame.header for frame in self.frames if frame.kind == kind]

    @property
    def result(self) -> Any:
        """The result; fails with the error when there is none."""
        (outcome,) = self.headers("outcome")
        assert "error" not in outcome, outcome
        return outcome["result"]

    @property
    def error(self) -> str:
        return "".join(outcome.get("error", "") for outcome in self.headers("outcome"))

    @property
    def exit(self) -> dict[str, Any]:
        assert self.frames[-1].kind == "exit"
        return self.frames[-1].header

    def text(self, name: str) -> str:
        return b"".join(
            frame.body
            for frame in self.frames
            if frame.kind == "stream" and frame.header["name"] == name
        ).decode()


async def send_code(
    child: ChildHandle, code: bytes, fds: tuple[int, ...] = (), **names: Any
) -> None:
    """For `tiny_child` to run."""
    await child.send_frame(Frame("task", names, code, fds))


async def run(pool: Pool, code: str, **names: Any) -> Ran:
    ran = Ran()
    async with pool.child() as child:
        await send_code(child, code.encode(), **names)
        async for frame in child.frames():
            ran.frames.append(frame)
    return ran


async def serves(pool: Pool) -> bool:
    """Whether the pool serves on."""
    return (await run(pool, "result = 6 * 7")).result == 42


def group_members(pgid: int) -> list[int]:
    """Living processes of a group."""
    from mecapy_worker.pool.zygote_process import processes

    return [
        pid
        for pid, (group, _session, state) in processes().items()
        if group == pgid and state != "Z"
    ]


def seen_from_here(group: int, number: int) -> int:
    """The process of a group that calls itself by this number, in whatever PID namespace it is."""
    for pid in group_members(group):
        names = next(
            line
            for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            if line.startswith("NSpid:")
        )
        if int(names.split()[-1]) == number:
            return pid
    raise ProcessLookupError(f"nobody in group {group} is {number}")


async def gone(*pids: int) -> None:
    """Returns when none of them is alive: who is told of an end may be told a moment before."""
    async with asyncio.timeout(120):
        while any(map(is_alive, pids)):  # noqa: ASYNC110  (a stranger's end is told to nobody)
            await asyncio.sleep(0.01)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
