"""Run all demo notebooks on an embedded stack and save them with their outputs, which readers on
GitHub see.

    python notebooks/save_outputs.py [notebook.ipynb …]

Kept is what every machine gives: pictures, results, what was printed. Left out: times and ids of
the run, widgets, bars in mid-way. Before it: `run_demo`, which runs a notebook. After it:
tests/notebooks/test_demos.py, which runs them again and compares.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from run_demo import HERE, execute, stack

_IDS = re.compile(r"\b[0-9a-f]{8}\b")
_UNFINISHED = ("◔", "▶")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, default=sorted(HERE.glob("0*.ipynb")))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mecapy-save-", ignore_cleanup_errors=True) as folder, stack(Path(folder)) as at:
        for path in options.notebooks:
            notebook, took_s = execute(path, at)
            nbformat.write(cleaned(notebook), path)
            print(f"{path.name}: {took_s:.0f} s, {path.stat().st_size / 1e6:.1f} MB", flush=True)
    return 0


def cleaned(notebook: Any) -> Any:
    """The executed notebook as it is saved; the same on every machine but for the time a cell took."""
    number = 0
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            number += 1
            cell.execution_count = number
            cell.outputs = [output for output in joined(cell.outputs) if not _passing(output)]
            for output in cell.outputs:
                output.pop("execution_count", None)
                if output.output_type == "execute_result":
                    output["execution_count"] = number
    notebook.metadata.language_info = {"name": "python"}
    notebook.metadata.pop("widgets", None)
    return notebook


def joined(outputs: list[Any]) -> list[Any]:
    """Streams in one piece, as a page shows them: what a carriage return overwrote is gone."""
    kept: list[Any] = []
    streams: dict[str, Any] = {}
    for output in outputs:
        if output.output_type != "stream":
            kept.append(output)
        elif output.name in streams:
            streams[output.name].text += output.text
        else:
            kept.append(streams.setdefault(output.name, output))
    for output in streams.values():
        lines = (line.rstrip("\r").rpartition("\r")[2] for line in output.text.split("\n"))
        output.text = _IDS.sub("6b1f0c2d", "\n".join(lines))
    return kept


def _passing(output: Any) -> bool:
    """A live block that nobody brought to its end, or a bar: true for a moment of one run only."""
    if output.output_type == "stream":
        return bool(output.name == "stderr" and "it/s]" in output.text) or "already loaded" in output.text
    output.get("data", {}).pop("application/vnd.jupyter.widget-view+json", None)
    return str(output.get("data", {}).get("text/plain", "")).startswith(_UNFINISHED)


if __name__ == "__main__":
    sys.exit(main())
