"""Run any notebook twice, as it is and with `%%mecapy` in front of its cells, and compare what each
cell gave.

    python -m tests.notebooks.compare notebook.ipynb … [--steady]

Compared per cell: stdout, the text and the kinds of results and displays, the number of pictures,
the error's name. Addresses and timings are normalised. It says nothing about speed (see
tests.bench). A cell that names a file beside the notebook takes it along with `--files`, as its
author would; one that opens files takes along those that the cells before it named. Next in the
line: `mecapy_jupyter.magic`, which runs the marked cells.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import DeadKernelError

CELL_S = 300
LOAD = "%load_ext mecapy_jupyter"
MARK = "%%mecapy"
QUOTED = re.compile(r"""(['"])([^'"\n]{1,200})\1""")
OPENS = re.compile(r"\b(open|read_\w+|load\w*|genfromtxt|imread)\(")
LINE_MAGIC = re.compile(r"^\s*(%[a-zA-Z_]|[!?]|[\w.]+\?{1,2}\s*$)")
NORMAL_FORMS = [
    (re.compile(r"\x1b\[[0-9;]*m"), ""),
    (re.compile(r"\b0x[0-9a-fA-F]{4,}\b"), "0x…"),
    (re.compile(r"(?m)^(CPU times|Wall time):.*$"), r"\1: …"),
    (re.compile(r"\b\d+(\.\d+)?(e-?\d+)?\s?(ns|µs|μs|us|ms|s|sec|secs|seconds|min)\b"), "… s"),
    (re.compile(r"\S*/ipykernel_\d+/\d+\.py"), "<cell>"),
    (re.compile(r"\b[\d,]+ loops? each\b"), "… loops each"),
]


@dataclass(frozen=True, slots=True)
class Gave:
    """What one cell gave, normalised."""

    stdout: str = ""
    results: tuple[str, ...] = ()
    pictures: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class Row:
    """One cell of the comparison; `differences` is empty when both runs agree."""

    number: int
    source: str
    remote: bool
    steady: bool
    differences: tuple[str, ...]
    fails: bool = False


def may_be_marked(source: str) -> bool:
    """Whether `%%mecapy` can stand in front: not for another cell magic, nor for nothing but line
    magics and comments.
    """
    if source.lstrip().startswith("%%"):
        return False
    lines = [
        line for line in source.splitlines() if line.strip() and not line.lstrip().startswith("#")
    ]
    return any(not LINE_MAGIC.match(line) for line in lines)


def files_named(source: str, folder: Path) -> str:
    """The option that takes along the files beside the notebook which the cell names in its
    strings.
    """
    texts = {text for _, text in QUOTED.findall(source)}
    names = sorted(
        text
        for text in texts
        if not re.search(r"[\s,*?\[]|^/|\w/\.\.", text) and (folder / text).is_file()
    )
    return f" --files {','.join(names)}" if names else ""


def prepared(notebook: Any, setup: str, mark: str, folder: Path) -> Any:
    """A copy with a first cell `setup` and `mark` in front of the cells that may have it; an empty
    mark leaves them as they are.
    """
    marked = deepcopy(notebook)
    before = ""
    for cell in marked.cells:
        if cell.cell_type == "code" and mark and may_be_marked(cell.source):
            before += f"\n{cell.source}"
            named = files_named(before if OPENS.search(cell.source) else cell.source, folder)
            cell.source = f"{mark}{named}\n{cell.source}"
    marked.cells.insert(0, nbformat.v4.new_code_cell(setup))
    return marked


async def outputs(notebook: Any, folder: Path, environment: dict[str, str] | None) -> list[Gave]:
    """What every code cell after the first gave; cells after a dead kernel gave that error."""
    where = {"metadata": {"path": str(folder)}}
    client = NotebookClient(
        notebook,
        timeout=CELL_S,
        startup_timeout=240,
        kernel_name="python3",
        allow_errors=True,
        resources=where,
    )
    try:
        await client.async_execute(**({"env": environment} if environment else {}))
    except (DeadKernelError, TimeoutError) as error:
        first_left = next(
            (
                cell
                for cell in notebook.cells
                if cell.cell_type == "code" and cell.execution_count is None
            ),
            None,
        )
        if first_left is not None:
            first_left.outputs = [
                nbformat.v4.new_output(
                    "error", ename=type(error).__name__, evalue=str(error), traceback=[]
                )
            ]
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    failed = [output.evalue for output in code[0].outputs if output.output_type == "error"]
    if failed:
        raise RuntimeError(f"The first cell, which loads the extension, failed: {failed[0]}")
    return [gave(cell.outputs) for cell in code[1:]]


def gave(cell_outputs: Sequence[Any]) -> Gave:
    stdout, results, pictures, error = "", [], 0, ""
    for output in cell_outputs:
        data = output.get("data", {})
        if output.output_type == "stream" and output.name == "stdout":
            stdout += output.text
        elif output.output_type == "error":
            error = output.ename
        elif data and not is_live_block(data):
            pictures += "image/png" in data or "image/svg+xml" in data
            kinds = ", ".join(sorted(data.keys() - {"text/plain"}))
            results.append(normal(data.get("text/plain", "")) + (f" [{kinds}]" if kinds else ""))
    return Gave(normal(stdout), tuple(results), pictures, error)


def is_live_block(data: dict[str, Any]) -> bool:
    """MecaPy's own lines are the one thing that may differ, and the place kept for one."""
    html = str(data.get("text/html"))
    return 'aria-label="MecaPy ' in html or "application/vnd.mecapy.place+json" in data


def normal(text: str) -> str:
    for form, replacement in NORMAL_FORMS:
        text = form.sub(replacement, text)
    return text.rstrip()


def differences(here: Gave, there: Gave) -> tuple[str, ...]:
    """One sentence per part that differs, with the first place where it does."""
    found: list[str] = []
    if here.error != there.error:
        found.append(f"error: {here.error or 'none'} ≠ {there.error or 'none'}")
    if here.stdout != there.stdout:
        found.append(
            f"stdout: {first_difference(here.stdout.splitlines(), there.stdout.splitlines())}"
        )
    if here.results != there.results:
        found.append(f"results: {first_difference(here.results, there.results)}")
    if here.pictures != there.pictures:
        found.append(f"pictures: {here.pictures} ≠ {there.pictures}")
    return tuple(found)


def first_difference(here: Sequence[str], there: Sequence[str]) -> str:
    for left, right in zip(here, there, strict=False):
        if left != right:
            return f"{left[:200]!r} ≠ {right[:200]!r}"
    longer = max(here, there, key=len)
    side = "only here" if len(here) > len(there) else "only there"
    return f"{side}: {longer[min(len(here), len(there))][:200]!r}"


async def compare(
    path: Path,
    *,
    setup: str = LOAD,
    mark: str = MARK,
    environment: dict[str, str] | None = None,
    steady: bool = False,
) -> list[Row]:
    """The rows of one notebook. `steady`: run it here twice, and set cells aside that do not even
    agree with themselves.
    """
    notebook = nbformat.read(path, as_version=4)
    marks = [("None", ""), (setup, mark)] + [("None", "")] * steady
    folder = path.parent
    runs = (outputs(prepared(notebook, *marked, folder), folder, environment) for marked in marks)
    here, there, *again = await asyncio.gather(*runs)
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    return [
        Row(
            number,
            source,
            may_be_marked(source),
            all(not differences(here[number], other[number]) for other in again),
            differences(here[number], there[number]),
            bool(here[number].error),
        )
        for number, source in enumerate(sources)
    ]


def table(rows: Sequence[Row]) -> str:
    """One line per cell, its differences below it, and the share of marked, steady cells that
    agree.
    """
    lines = ["cell  ran    agrees  first line"]
    for row in rows:
        verdict = "yes" if not row.differences else "no" if row.steady else "never"
        first = next((line for line in row.source.splitlines() if line.strip()), "")
        lines.append(
            f"{row.number:4}  {'there' if row.remote else 'here ':5}  {verdict:6}  {first[:80]}"
        )
        lines += [f"        {difference}" for difference in row.differences]
    counted = [row for row in rows if row.remote and row.steady]
    agree = [row for row in counted if not row.differences]
    fail = sum(row.fails for row in agree)
    share = (
        f"{len(agree)} of {len(counted)} marked cells agree "
        f"({100 * len(agree) / max(1, len(counted)):.1f} %)"
    )
    lines.append(share + (f", {fail} of them by the same error" if fail else ""))
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument(
        "--steady",
        action="store_true",
        help="run it here twice and set aside cells that differ from themselves",
    )
    options = parser.parse_args(arguments)
    all_agree = True
    for path in options.notebooks:
        rows = asyncio.run(compare(path, steady=options.steady))
        print(f"{path}\n{table(rows)}\n")
        all_agree &= not any(row.differences for row in rows if row.steady)
    return 0 if all_agree else 1


if __name__ == "__main__":
    sys.exit(main())
