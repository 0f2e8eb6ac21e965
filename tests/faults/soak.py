"""`make soak`: the real stack under a mixed load while everything in it is killed at random; then a
check of every task.

`make soak MINUTES=5 SEED=7`. The seed decides what is submitted, and what is killed in which order;
the machine decides when. Parts: `customers` submit `orders`, `chaos` kills, `verdict` judges. The
stack is `stack`.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from . import verdict
from .chaos import Chaos
from .customers import Ledger, at_work
from .stack import Stack

SETTINGS = {"MAX_LOSSES": "50", "PRELOAD": "numpy"}
"""Chaos hits some tasks often; that a task which brings workers down is put
aside has its own test.
"""


@dataclass(frozen=True)
class Report:
    seed: str
    seconds: float
    ledger: Ledger
    kills: dict[str, int]
    verdict: verdict.Verdict

    def __str__(self) -> str:
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(self.kills.items()))
        ledger = self.ledger
        return (
            f"seed {self.seed}, {self.seconds:.0f} s: {len(ledger.orders)} tasks in "
            f"{self.verdict.attempts} attempts; {ledger.tries}"
            f" requests, {ledger.refused} refused for the moment or broken off; "
            f"{ledger.resubmitted} submitted twice on purpose\n"
            f"{sum(self.kills.values())} faults: {kinds}\n{self.verdict}"
        )


def soak(
    folder: Path, seed: str, seconds: float, *, workers: int = 3, gateways: int = 2, faults: int = 0
) -> Report:
    """`folder`: a short path; `faults`: at least so many, even if that takes longer."""
    folder.chmod(0o711)
    with Stack(folder, **SETTINGS) as stack:
        for _ in range(gateways):
            stack.gateway()
        for _ in range(workers):
            stack.worker()
        chaos, since = Chaos(stack, random.Random(seed), seconds, faults), time.monotonic()
        ledger = at_work(stack, seed, chaos=chaos)
        return Report(
            seed,
            time.monotonic() - since,
            ledger,
            dict(chaos.kills),
            verdict.of(stack, ledger, seed),
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=2.0)
    parser.add_argument("--seed", default="", help="the same again; without it, another one")
    options = parser.parse_args()
    seed = options.seed or str(random.SystemRandom().randrange(10**6))
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="mecapy-", ignore_cleanup_errors=True) as folder:
        report = soak(Path(folder), seed, options.minutes * 60)
    print(report)
    sys.exit(not report.verdict.good)


if __name__ == "__main__":
    main()
