"""A notebook and its other side: values there and back between two processes."""

from __future__ import annotations

import atexit
import functools
import importlib
import pickle
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mecapy_jupyter import wire
from mecapy_jupyter.results import bind
from mecapy_jupyter.travel.environment import prelude
from mecapy_jupyter.travel.pickling import payload

pd: Any = importlib.import_module("pandas")
OTHER_SIDE = Path(__file__).with_name("other_side.py")


RunWithModule = Callable[[str, str, str], "Notebook"]
"""The text of the module `mod`, what runs here first, and the cell → the notebook afterwards."""


def importable(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Put a folder in front of `sys.path`."""
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    importlib.invalidate_caches()


@functools.cache
def _other_process() -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, OTHER_SIDE], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    atexit.register(_end, process)
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    with process:  # its stdin is closed, and it ends by itself
        pass


def other_side(code: str, stream: bytes, buffers: list[bytearray]) -> Any:
    """What the other side answers; its traceback where it fails."""
    process = _other_process()
    assert process.stdin and process.stdout
    process.stdin.write(pickle.dumps((code, stream, buffers)))
    process.stdin.flush()
    answer = pickle.load(process.stdout)  # noqa: S301 our own process
    assert not isinstance(answer, str), answer
    return answer


class Notebook:
    """A namespace, and what the last trip sent back."""

    def __init__(self) -> None:
        self.ns: dict[str, Any] = {
            "__name__": "__main__",
            "__builtins__": __builtins__,
            "np": np,
            "pd": pd,
        }
        self.back_bytes = 0
        self.left: dict[str, str] = {}
        self.packed = payload.Packed(b"", (), {})

    def local(self, code: str) -> None:
        exec(compile(textwrap.dedent(code), "<notebook>", "exec", dont_inherit=True), self.ns)

    def remote(self, code: str, *names: str) -> list[str]:
        """Run `code` on the other side with these variables, and bring home what it did."""
        values = {
            name: self.ns[name] for name in (*(m for m in ("np", "pd") if m + "." in code), *names)
        }
        packed = payload.pack(
            [values],
            self.ns,
            prelude=lambda own: prelude.make(own, values, ()),
            states=prelude.ModuleStates(),
        )
        stream, buffers, self.back_bytes = other_side(
            textwrap.dedent(code), packed.stream, [bytearray(b) for b in packed.buffers]
        )
        by_digest = {str(i): bytearray(b) for i, b in enumerate(buffers)}
        outcome = wire.Outcome("completed", payload=wire.Payload(stream, "", tuple(by_digest)))
        home = bind.open_outcome(outcome, by_digest.__getitem__, self.ns, packed.memo)
        self.left = dict(home.left)
        # without what it keeps alive: pandas asks who is alive before it writes
        self.packed = replace(packed, buffers=(), memo={}, prelude=None)
        return bind.into(self.ns, home)
