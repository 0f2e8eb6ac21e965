"""Each extra brings all that its part imports, as the container images install it: nothing else can
be imported here meanwhile.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import metadata

import pytest
from packaging.requirements import Requirement

OURS = ["mecapy_jupyter", "mecapy_backend", "mecapy_worker"]
# Run in a process of its own: an installed package outside the allowed ones is as good as not
# installed.
ONLY = """
import importlib, json, sys
allowed, installed, modules = json.loads(sys.argv[1])
class Absent:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in installed and top not in allowed:
            raise ModuleNotFoundError(
                f"No module named {name!r} (its package is not in this extra)", name=name)
sys.meta_path.insert(0, Absent())
for module in modules:
    importlib.import_module(module)
"""


def closure(extra: str) -> set[str]:
    """The names of all distributions that `mecapy-jupyter[extra]` installs
    here, itself included.
    """
    seen: set[tuple[str, str]] = set()
    open_ends = [("mecapy-jupyter", ""), ("mecapy-jupyter", extra)]
    while open_ends:
        name, wanted = open_ends.pop()
        if (name, wanted) in seen:
            continue
        seen.add((name, wanted))
        for requirement in map(Requirement, metadata.requires(name) or ()):
            if requirement.marker is None or requirement.marker.evaluate({"extra": wanted}):
                plain = normalised(requirement.name)
                open_ends += [(plain, one) for one in ("", *requirement.extras)]
    return {name for name, _ in seen}


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize(
    ("extra", "modules"),
    [
        (
            "",
            [
                "mecapy_jupyter.magic",
                "mecapy_jupyter.cells.cell",
                "mecapy_jupyter.widget",
                "mecapy_jupyter.cli",
                "mecapy_jupyter.stack.embedded",
            ],
        ),
        (
            "backend",
            [
                "mecapy_backend.api.app",
                "mecapy_backend.migrations",
                "mecapy_backend.deploy.workers",
            ],
        ),
        (
            "worker",
            [
                "mecapy_worker.main",
                "mecapy_worker.child.child",
                "mecapy_worker.upkeep.health_server",
                "numpy",
                "scipy",
                "matplotlib",
                "pandas",
                "sympy",
            ],
        ),
        (
            "local",
            ["mecapy_backend.stack.supervisor", "mecapy_backend.api.app", "mecapy_worker.main"],
        ),
    ],
)
def test_extra_is_enough(extra: str, modules: list[str]) -> None:
    """What an extra is for can be imported with that extra alone."""
    distributions = closure(extra)
    tops = metadata.packages_distributions()
    installed = {top for top in tops if top not in sys.stdlib_module_names}
    allowed = {
        top for top in installed if any(normalised(name) in distributions for name in tops[top])
    } | set(OURS)
    given = json.dumps([sorted(allowed), sorted(installed), modules])
    done = subprocess.run(
        [sys.executable, "-c", ONLY, given], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
