"""A map in a real kernel."""

from __future__ import annotations

from typing import Any

from jupyter_client.manager import start_new_kernel

_CELL = """
import time
from mecapy_jupyter import Client

def wait(seconds):
    time.sleep(seconds)
    return seconds

print(sum(Client().map(wait, [1.0] * 10, chunksize=1)))
"""


def test_one_block_for_all_calls(kernel_environment: dict[str, str]) -> None:
    """A map that takes longer shows one block, its bar moves while calls run, and it ends with the
    number of results.
    """
    manager, client = start_new_kernel(startup_timeout=240, env=kernel_environment)
    said: list[dict[str, Any]] = []
    try:
        reply = client.execute_interactive(_CELL, timeout=240, output_hook=said.append)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert reply["content"]["status"] == "ok", reply["content"]
    kinds = [message["header"]["msg_type"] for message in said]
    assert kinds.count("display_data") == 1
    moves = [
        message["content"]["data"]["state"]["view"]
        for message in said
        if message["header"]["msg_type"] == "comm_msg"
        and message["content"]["data"].get("state", {}).get("view")
    ]
    assert any(0 < view["fraction"] <= 1 for view in moves if view["fraction"])
    (last,) = [
        message["content"]["data"]["text/plain"]
        for message in said
        if message["header"]["msg_type"] == "update_display_data"
    ]
    assert last.startswith("✔")
    assert last.endswith("10 results")
    assert "10.0" in "".join(
        message["content"]["text"] for message in said if message["header"]["msg_type"] == "stream"
    )
