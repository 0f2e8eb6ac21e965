"""How long a cell is looked at before it is sent: syntax, names, what cannot travel, packages and
versions of the workers, size.

In a notebook with 1,000 names, one of them an array of 256 MiB. Sending is not part of it (see
`data`). Part of `make bench`; never run as a test.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd
from IPython.core.interactiveshell import InteractiveShell

from mecapy_jupyter.capture import packing
from mecapy_jupyter.cells import preflight
from mecapy_jupyter.cells.magic_options import parsed
from mecapy_jupyter.cells.prepared import Prepared
from mecapy_jupyter.client.client import Client

from .trip import stack

TARGET_MS = 100
ROUNDS = 20
CELLS = {
    "reads the array and ten names": "total = big.sum() + "
    + " + ".join(f"number_{n}" for n in range(10)),
    "calls a function that reads others": "result = step_99(number_1)",
    "reads all 1,000 names": "import numpy as np\nfound = ["
    + ", ".join(f"{kind}_{n}" for kind in ("number", "text", "row") for n in range(250))
    + "]"
    "\nmore = ["
    + ", ".join(f"{kind}_{n}" for kind in ("array", "step") for n in range(100))
    + ", big, frame]",
    "looks up names at run time (eval)": "value = eval(text_0.replace('load case 0', 'big[0] + "
    "number_1'))",
}


def filled(shell: InteractiveShell) -> None:
    """1,000 names as a long session leaves them."""
    names = shell.user_ns
    names |= {f"number_{n}": n / 7 for n in range(250)} | {
        f"text_{n}": f"load case {n}" for n in range(250)
    }
    names |= {f"row_{n}": list(range(20)) for n in range(250)} | {
        f"array_{n}": np.full(100, float(n)) for n in range(148)
    }
    names |= {"big": np.ones(32 << 20), "frame": pd.DataFrame(np.ones((10_000, 8)))}
    steps = "\n".join(
        f"def step_{n}(x):\n    return x + number_{n}" + (f" + step_{n - 1}(x)" if n % 10 else "")
        for n in range(100)
    )
    shell.run_cell(steps)


def looked_at(shell: InteractiveShell, client: Client, source: str) -> tuple[float, float]:
    """Milliseconds until it could be sent, and how many of them the processor worked."""
    began, busy = time.perf_counter(), time.process_time()
    prepared = Prepared(shell, parsed(""), "%%mecapy", source)
    there = preflight.workers(client.gateway)
    packed = packing.pack(
        prepared.values, shell.user_ns, prepared.words, sorted(prepared.names.imports)
    )
    prepared.fits(packed, there)
    return (time.perf_counter() - began) * 1e3, (time.process_time() - busy) * 1e3


def main() -> None:
    shell = InteractiveShell.instance()
    filled(shell)
    with tempfile.TemporaryDirectory() as folder, stack(Path(folder)) as environment:
        client = Client(environment["MECAPY_URL"], environment["MECAPY_TOKEN"])
        for name, source in CELLS.items():
            rounds = [looked_at(shell, client, f"# {number}\n{source}") for number in range(ROUNDS)]
            clock, busy = (sorted(times) for times in zip(*rounds, strict=True))
            print(
                f"{name:<36} p50 {clock[ROUNDS // 2]:6.1f} ms   longest {clock[-1]:6.1f} ms   "
                f"(target {TARGET_MS})"
                f"   processor p50 {busy[ROUNDS // 2]:5.1f} ms"
            )


if __name__ == "__main__":
    main()
