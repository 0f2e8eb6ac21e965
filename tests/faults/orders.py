"""What a soak's users submit, and what must come of each, whatever is killed meanwhile. Next:
`customers`, who submit it.

Each kind is a small program. Those that must complete are tried again when chaos kills their child,
as their owner asked (`retries`).
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

RETRIES = 10
LITTER, SYSV = "mecapy-litter", 0x6D000000
"""The mark on what a littering task leaves in places that a whole machine shares: in names, and
from which key on.
"""
_LINES = 40


@dataclass(frozen=True, slots=True)
class Order:
    """`body` is what is posted. `errors`: the kinds a failed one may have; `prints`: all that its
    last attempt prints.
    """

    kind: str
    body: dict[str, Any]
    state: str = "completed"
    result: Any = None
    errors: tuple[str, ...] = ()
    prints: str = ""
    cancel_after_s: float | None = None
    key: str = field(default="", compare=False)

    def wrong(self, row: Any, outcome: dict[str, Any], printed: str) -> str:
        """What is not as it must be with its row; empty: all is well."""
        kind = (outcome.get("error") or {}).get("kind", "")
        if self.kind == "lucky" and row["state"] == "failed" and row["attempt"] > RETRIES:
            return "" if kind in ("cell", "killed") else f"failed as {kind}"
        if row["state"] != self.state:
            return f"is {row['state']} and not {self.state}: {outcome}"
        if self.state == "completed" and outcome["result"] != self.result:
            return f"came to {outcome['result']!r} and not {self.result!r}"
        if self.state == "failed" and kind not in self.errors:
            return f"failed as {kind!r} and not {self.errors}"
        return "" if printed == self.prints else f"printed {printed!r} and not {self.prints!r}"


def endless(rng: random.Random, kinds: Mapping[str, int], *, calm: bool = False) -> Iterator[Order]:
    """One after the other. `kinds`: how often each comes, beside the others; `calm`: nothing sleeps
    for long.
    """
    while True:
        kind = rng.choices(list(kinds), list(kinds.values()))[0]
        made = _MADE[kind](rng, rng.randrange(10**6), 0.05 if calm else 1.0)
        yield Order(kind, key=f"{rng.getrandbits(64):x}", **made)


def _value(_: random.Random, n: int, __: float) -> dict[str, Any]:
    return {"body": {"code": f"{n} * 2", "retries": RETRIES}, "result": n * 2}


def _inputs(_: random.Random, n: int, __: float) -> dict[str, Any]:
    return {
        "body": {"code": "sum(numbers)", "inputs": {"numbers": [n] * 500}, "retries": RETRIES},
        "result": 500 * n,
    }


def _prints(rng: random.Random, n: int, pace: float) -> dict[str, Any]:
    code = (
        f"import time\nfor line in range({_LINES}):\n    print({n}, line)\n    "
        f"time.sleep({rng.random() * 0.02 * pace})\n{n}"
    )
    return {
        "body": {"code": code, "retries": RETRIES},
        "result": n,
        "prints": "".join(f"{n} {line}\n" for line in range(_LINES)),
    }


def _works(rng: random.Random, n: int, pace: float) -> dict[str, Any]:
    return {
        "body": {
            "code": f"import time\ntime.sleep({rng.random() * 2 * pace})\n{n}",
            "retries": RETRIES,
        },
        "result": n,
    }


def _array(_: random.Random, n: int, __: float) -> dict[str, Any]:
    """Large enough that its process maps memory of its own."""
    return {
        "body": {
            "code": f"import numpy as np\nint((np.ones(200_000) * {n}).sum())",
            "retries": RETRIES,
        },
        "result": 200_000 * n,
    }


def _lucky(_: random.Random, n: int, __: float) -> dict[str, Any]:
    return {
        "body": {
            "code": f"import random\nassert random.SystemRandom().random() < 0.5\n{n}",
            "retries": RETRIES,
        },
        "result": n,
    }


def _fails(_: random.Random, n: int, __: float) -> dict[str, Any]:
    return {
        "body": {"code": f"raise ValueError({n})"},
        "state": "failed",
        "errors": ("cell", "killed"),
    }


def _crashes(_: random.Random, n: int, __: float) -> dict[str, Any]:
    return {
        "body": {"code": f"import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n{n}"},
        "state": "failed",
        "errors": ("killed",),
    }


def _late(_: random.Random, __: int, pace: float) -> dict[str, Any]:
    return {
        "body": {"code": "import time\ntime.sleep(600)", "timeout": 0.2 + 0.8 * pace},
        "state": "failed",
        "errors": ("timeout", "killed"),
    }


def _unwanted(rng: random.Random, n: int, pace: float) -> dict[str, Any]:
    code = f"import subprocess, time\nsubprocess.Popen(['sleep', '600'])\ntime.sleep(600)\n{n}"
    return {
        "body": {"code": code, "retries": RETRIES},
        "state": "cancelled",
        "cancel_after_s": rng.random() * 2 * pace,
    }


def _litters(_: random.Random, n: int, __: float) -> dict[str, Any]:
    """Leaves whatever it may: a process, files, shared memory in both kinds; then dies without a
    word.
    """
    code = f"""
import contextlib, ctypes, os, signal, subprocess, tempfile
from multiprocessing import shared_memory
subprocess.Popen(["sleep", "600"])
os.close(tempfile.mkstemp()[0])
with contextlib.suppress(OSError):
    shared_memory.SharedMemory("{LITTER}-{n}", create=True, size=100_000)
for make, sizes in (("shmget", [4096]), ("semget", [1]), ("msgget", [])):
    getattr(ctypes.CDLL(None), make)({SYSV + n}, *sizes, 0o1600)
os.kill(os.getpid(), signal.SIGKILL)
"""
    return {"body": {"code": code}, "state": "failed", "errors": ("killed",)}


_MADE = {
    "value": _value, "inputs": _inputs, "prints": _prints, "works": _works, "array": _array,
    "lucky": _lucky, "fails": _fails, "crashes": _crashes, "late": _late, "unwanted": _unwanted,
    "litters": _litters,
}  # fmt: skip
MIXED = {
    "value": 30, "inputs": 10, "prints": 12, "works": 12, "array": 8, "lucky": 6, "fails": 8,
    "crashes": 5, "late": 3, "unwanted": 6,
}  # fmt: skip
"""How often each comes, of a hundred."""
ROUGH = {
    "value": 25,
    "prints": 10,
    "array": 10,
    "lucky": 5,
    "fails": 12,
    "crashes": 10,
    "late": 5,
    "unwanted": 13,
    "litters": 10,
}
"""Half of them are killed, cancelled, or fail."""
