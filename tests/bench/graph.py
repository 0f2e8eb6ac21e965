"""A chain of 100 tasks, each of which needs the one before, beside 100 single trips."""

from __future__ import annotations

import statistics
import tempfile
import time
from pathlib import Path

from mecapy_jupyter import Client
from notebooks import run_demo

LENGTH, SINGLES = 100, 100


def successor(number: int) -> int:
    return number + 1


def single_s(client: Client) -> float:
    """Median of a submission with its result, one after another."""
    times: list[float] = []
    for number in range(SINGLES):
        begun = time.perf_counter()
        assert client.submit(successor, number).result(timeout=60) == number + 1
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def chain_s(client: Client) -> float:
    begun = time.perf_counter()
    last = client.submit(successor, 0)
    for _ in range(LENGTH - 1):
        last = client.submit(successor, last)
    assert last.result(timeout=300) == LENGTH
    return time.perf_counter() - begun


def main() -> None:
    with (
        tempfile.TemporaryDirectory(prefix="mecapy-") as folder,
        run_demo.stack(Path(folder)) as at,
        Client(at.url, at.token) as client,
    ):
        single_s(client)
        single, chain = single_s(client), min(chain_s(client) for _ in range(3))
        print(
            f"a chain of {LENGTH} tasks {chain:6.2f} s   {LENGTH} single trips "
            f"{LENGTH * single:6.2f} s   ratio {chain / LENGTH / single:.2f} (target 1.3)"
        )


if __name__ == "__main__":
    main()
