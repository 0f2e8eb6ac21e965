"""One class name, one meaning, in all three packages."""

from __future__ import annotations

import ast
from collections import defaultdict

from .tracked import ROOT, tracked


def test_no_class_name_stands_twice() -> None:
    """Not even with an underscore: whoever searches for a name finds one class."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in tracked():
        package = path.relative_to(ROOT).parts[0]
        if path.suffix == ".py" and package in ("mecapy_jupyter", "backend", "worker"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ClassDef):
                    found[node.name.lstrip("_")].append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert len(found) > 200
    twice = {name: places for name, places in found.items() if len(places) > 1}
    assert not twice, "\n".join(f"{name}: {', '.join(at)}" for name, at in twice.items())
