"""A cell that prints more than a notebook can show, through a whole stack."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import redis

from mecapy_backend.store.log import final_log
from mecapy_jupyter import wire
from mecapy_jupyter.client import task_logs
from mecapy_jupyter.client.client import Client

from .running import Stack

LINES = 600_000
PRINTS = f"for n in range({LINES}): print(f'line {{n:012}}')"
WHOLE = "".join(f"line {n:012}\n" for n in range(LINES))
ODD = r"""
import sys
sys.stdout.write("no newline " * 200_000); sys.stdout.flush()
sys.stdout.buffer.write(b"\xff\xfe half \xe2\x82 end"); sys.stdout.flush()
print("\x1b[31mred\x1b[0m", "\u2028", "\x00")
for n in range(2000): sys.stdout.write(f"\r{n:5}/2000"); sys.stdout.flush()
"""


def text(events: list[wire.Event], kind: str = "stdout") -> str:
    return "".join(event.data["text"] for event in events if event.type == kind)


@pytest.mark.long
def test_long_log(stack: Stack, tmp_path: Path) -> None:
    """10 MB in short lines: Redis and a notebook (also one that comes back after Redis has lost it)
    get the first 2 MiB and one note; `%mecapy logs` brings every byte, in a file.
    """
    with Client(stack.url, stack.token) as client:
        task = client.run(PRINTS, timeout=400)
        assert task.exception(400) is None
        gateway = stack.gateway()
        with redis.Redis.from_url(stack.settings()["MECAPY_REDIS_URL"]) as connection:
            stream: Any = connection.xrange(f"mecapy:events:{task.id}")
            assert (
                sum(len(value) for _, fields in stream for value in fields.values())
                < 1.2 * final_log.LIVE_BYTES
            )
            for emptied in (False, True):
                if emptied:
                    connection.flushdb()
                seen = list(gateway.events(task.id))
                assert (
                    WHOLE.startswith(text(seen))
                    and 1_500_000 < len(text(seen)) <= final_log.LIVE_BYTES
                )
                assert text(seen, "stderr") == final_log.MORE and seen[-1].type == "completed"
        said = task_logs.show(gateway, task.id, tmp_path)
        assert "10.8 MB" in said and said.startswith(WHOLE[-4000:].rstrip()) and len(said) < 5000
        [file] = tmp_path.iterdir()
        assert re.search(r"mecapy-[0-9a-f]{8}\.log", said) and file.read_text() == WHOLE
        assert task.logs() == WHOLE


@pytest.mark.long
def test_odd_output(stack: Stack) -> None:
    """No newline, bytes that are no UTF-8, escapes, a bar drawn 2,000 times: the log is what was
    written, undecodable bytes replaced.
    """
    with Client(stack.url, stack.token) as client:
        task = client.run(ODD, timeout=400)
        assert task.exception(400) is None
        bar = "".join(f"\r{n:5}/2000" for n in range(2000))
        said, meant = (
            task.logs(),
            "no newline " * 200_000
            + "\ufffd\ufffd half \ufffd end"
            + "\x1b[31mred\x1b[0m \u2028 \x00\n"
            + bar,
        )
        assert len(said) == len(meant) and said == meant
