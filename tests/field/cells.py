"""The same cells in two fresh kernels: as they are, and with `%%mecapy` in front of the heavy ones.

The cells stand in one text. A line `#L` begins a cell that stays in the kernel, `#H` a heavy one.
"""

from __future__ import annotations

import importlib.util
import re
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.magic.conftest import Ran, started
from tests.notebooks.compare import is_live_block, normal

_BEGINS = re.compile(r"(?m)^#([LH])\n")


def needs(*packages: str) -> pytest.MarkDecorator:
    """Skips a test whose packages are not installed. They are looked for and not imported: some
    warn, or take seconds.
    """
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")


@dataclass(frozen=True)
class Compared:
    """What the cells gave in both kernels."""

    here: list[Ran]
    there: list[Ran]

    @property
    def out(self) -> str:
        """All that was printed where every cell ran here."""
        return "".join(ran.stdout for ran in self.here)

    @property
    def said(self) -> list[str]:
        """MecaPy's own lines on standard error."""
        lines = [line for ran in self.there for line in ran.stderr.splitlines()]
        return [line for line in lines if line.startswith("mecapy")]

    @property
    def differences(self) -> list[str]:
        """For each cell that gave something else there: its number, and both."""
        pairs = zip(map(_gave, self.here), map(_gave, self.there), strict=True)
        return [
            f"cell {number}: {here} ≠ {there}"
            for number, (here, there) in enumerate(pairs, 1)
            if here != there
        ]


def _gave(ran: Ran) -> tuple[object, ...]:
    """What a reader sees of a cell, without MecaPy's own lines and block."""
    errors = [line for line in ran.stderr.splitlines() if not line.startswith("mecapy")]
    shown = [
        normal(str(content["data"].get("text/plain", ""))) + str(sorted(content["data"]))
        for content in ran.results + ran.displays
        if not is_live_block(content["data"])
    ]
    failed = [(error["ename"], normal(error["evalue"])) for error in ran.errors]
    return normal(ran.stdout), normal("\n".join(errors)), shown, failed


def compare(text: str, environment: dict[str, str], folder: Path) -> Compared:
    """Run the cells both ways, each in a kernel and an empty folder of its own."""
    _, *parts = _BEGINS.split(textwrap.dedent(text))
    cells = list(zip(parts[::2], parts[1::2], strict=True))
    ran: list[list[Ran]] = []
    for name, mark in (("here", ""), ("there", "%%mecapy\n")):
        (folder / name).mkdir()
        with started(environment, folder / name) as kernel:
            loaded = kernel.run("%load_ext mecapy_jupyter" if mark else "pass")
            assert loaded.ok, loaded.text
            ran.append([kernel.run(mark * (kind == "H") + code.strip()) for kind, code in cells])
    return Compared(*ran)
