"""How large the code is: `python -m tests.house.measure [REVISION …]`, a row for each package.

Lines of code are lines that hold a token of code: blank lines, comments and docstrings do not
count. Every revision is formatted at the same width first, so that only what was written differs.
"""

from __future__ import annotations

import ast
import io
import statistics
import subprocess
import sys
import tarfile
import tempfile
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .tracked import ROOT

PACKAGES = ("mecapy_jupyter", "backend/mecapy_backend", "worker/mecapy_worker")
WIDTH = 100
_NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
}


@dataclass(frozen=True, slots=True)
class Measured:
    """One Python file: its lines of code, all its lines, and the lines of each function."""

    path: str
    code: int
    lines: int
    functions: tuple[tuple[int, str], ...]


def measure(path: Path, name: str) -> Measured:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    docs = {
        line
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node.value.value, str)
        for line in range(node.lineno, (node.end_lineno or node.lineno) + 1)
    }
    code = {
        line
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in _NO_CODE
        for line in range(token.start[0], token.end[0] + 1)
    }
    functions = tuple(
        ((node.end_lineno or node.lineno) - node.lineno + 1, f"{name}:{node.name}")
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    return Measured(name, len(code - docs), text.count("\n"), functions)


def package(root: Path, name: str) -> list[Measured]:
    return [
        measure(path, str(path.relative_to(root))) for path in sorted((root / name).rglob("*.py"))
    ]


def rows(root: Path) -> Iterator[str]:
    everything = list[Measured]()
    for name in (*PACKAGES, "all"):
        found = everything if name == "all" else package(root, name)
        everything += found if name != "all" else []
        functions = [each for file in found for each in file.functions]
        longest, largest = max(functions), max(found, key=lambda file: file.lines)
        yield (
            f"| {name} | {len(found)} | {sum(file.code for file in found):,} "
            f"| {statistics.median(lines for lines, _ in functions):g} "
            f"| {longest[0]} ({longest[1]}) | {largest.lines} ({largest.path}) |"
        )


def revision(name: str, folder: Path) -> Path:
    """That revision's files in `folder`, formatted as today's are."""
    packed = subprocess.run(
        ["git", "archive", name, *PACKAGES], cwd=ROOT, check=True, capture_output=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    ruff = [sys.executable, "-m", "ruff", "format", "-q", "--isolated"]
    subprocess.run([*ruff, "--line-length", str(WIDTH), str(folder)], check=True)
    return folder


def main() -> None:
    for name in (*sys.argv[1:], ""):
        print(f"\n{name or 'working tree'}\n")
        print("| package | files | lines of code | median function | longest function | file |")
        print("|---|---|---|---|---|---|")
        with tempfile.TemporaryDirectory() as folder:
            print("\n".join(rows(revision(name, Path(folder)) if name else ROOT)))


if __name__ == "__main__":
    main()
