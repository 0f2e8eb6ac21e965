"""The lists of docs/cells.md: what travels, is reported or is refused; one entry per test with the
mark `cell`, grouped by file. `python -m tests.house.what_travels` writes them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .tracked import ROOT

DOCUMENT = ROOT / "docs/cells.md"
BEGIN, END = "<!-- from the tests: python -m tests.house.what_travels -->", "<!-- end -->"
HEADINGS = {
    "travels": "Travels both ways",
    "said": "Reported in one line, with what to do",
    "refused": "Refused with the reason, before the cell runs or at the call",
}


@dataclass(frozen=True, slots=True)
class Row:
    kind: str
    what: str
    test: str


def rows(folder: Path = ROOT / "tests") -> Iterator[Row]:
    """Every mark `cell(kind, what)` of the tests, by file and line."""
    for path in sorted(folder.rglob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                for mark in node.decorator_list:
                    if ast.unparse(mark).startswith("pytest.mark.cell("):
                        assert isinstance(mark, ast.Call)
                        kind, what = (ast.literal_eval(argument) for argument in mark.args)
                        yield Row(kind, what, path.relative_to(ROOT).as_posix())


def table() -> str:
    found = list(rows())
    unknown = {row.kind for row in found} - set(HEADINGS)
    assert not unknown, f"no such kind of row: {unknown}"
    parts = list[str]()
    for kind, heading in HEADINGS.items():
        parts += [f"**{heading}**", ""]
        by_test = dict[str, list[str]]()
        for row in found:
            if row.kind == kind:
                by_test.setdefault(row.test, []).append(row.what)
        parts += [f"- {'. '.join(whats)}" for whats in by_test.values()]
        parts.append("")
    return "\n".join([BEGIN, "", *parts, END])


def with_table(text: str) -> str:
    """The document with the current lists between its two markers."""
    before, rest = text.split(BEGIN)
    return before + table() + rest.split(END)[1]


if __name__ == "__main__":
    DOCUMENT.write_text(with_table(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
