"""What Tab offers in the magics' lines."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest

from mecapy_jupyter.cells import history
from mecapy_jupyter.commands import magic_completion

from .conftest import CELL_S, Kernel

TASK = "0badcafe-0000-4000-8000-000000000000"
VARIABLES = {"stiffness": 1, "load": 2, "_hidden": 3, "math": math, "exit": 4}


@dataclass
class Variables:
    """Those of a notebook."""

    user_ns: dict[str, Any] = field(default_factory=lambda: dict(VARIABLES))
    user_ns_hidden: dict[str, Any] = field(default_factory=lambda: {"exit": 4})


@dataclass
class Asked:
    line: str

    @property
    def text_until_cursor(self) -> str:
        return self.line

    @property
    def symbol(self) -> str:
        return self.line.replace(",", " ").rpartition(" ")[2]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("%%mecapy --ti", ["--timeout"]),
        ("%%mecapy --bg --as job --pr", ["--priority", "--progress-after"]),
        ("%%mecapy --ev", []),
        ("%%mecapy -i ", ["stiffness", "load"]),
        ("%%mecapy -o stiffness,lo", ["load"]),
        ("%%mecapy --name lo", []),
        ("%mecapy at", ["attach"]),
        ("%mecapy on --ba", []),
        ("%mecapy on --qu", ["--quiet"]),
        ("%mecapy cancel ", ["last", "all", "0badcafe"]),
        ("%mecapy attach 0b", ["0badcafe"]),
        ("%mecapy get 0badcafe ", []),
    ],
)
def test_tab(line: str, found: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options, commands, my last tasks, and variables after `-i` and `-o`."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    history.stands_in(TASK, "cell", "Büro/beam.ipynb")
    assert history.place_of(TASK) == ("cell", "Büro/beam.ipynb")
    cell, every_line = magic_completion.of_the_cell_magic, magic_completion.of_the_line_magic
    ask = cell if line.startswith("%%") else every_line
    assert ask(cast(Any, Variables()), Asked(line)) == found


def test_the_kernel_asks(kernel: Kernel) -> None:
    """As the notebook's page asks its kernel."""
    kernel.client.complete("%%mecapy --ti", len("%%mecapy --ti"))
    while (reply := kernel.client.get_shell_msg(timeout=CELL_S))["msg_type"] != "complete_reply":
        pass
    assert reply["content"]["matches"] == ["--timeout"]
