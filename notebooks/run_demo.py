"""Run the first notebook on an embedded stack of its own and show what came back: what `make demo`
calls.

The stack lives in a temporary folder and is stopped at the end, whatever happens. Nothing here is
special to the demo notebook: another one can be named on the command line. Next in the line: the
notebook's own `%%mecapy` cell.
"""

from __future__ import annotations

import argparse
import base64
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import urllib3
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError

HERE = Path(__file__).resolve().parent
STOP_S = 30
CELL_S = 300


class Stack(NamedTuple):
    url: str
    token: str


class DemoFailed(Exception):
    """Something a newcomer can act on; its text is all they see."""


@contextmanager
def stack(folder: Path) -> Iterator[Stack]:
    """An embedded stack in `folder`, stopped on leaving."""
    command = [sys.executable, "-m", "mecapy_jupyter.cli", "up", "--data", str(folder / "stack")]
    log = folder / "up.log"
    with (
        log.open("w") as errors,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env=without_mecapy()
        ) as up,
    ):
        try:
            yield first_lines(up, log)
        finally:
            up.terminate()
            try:
                up.wait(timeout=STOP_S)
            except subprocess.TimeoutExpired:
                up.kill()


def without_mecapy() -> dict[str, str]:
    """The environment without settings that would send the demo to another stack."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MECAPY_")}


def first_lines(up: subprocess.Popen[str], log: Path) -> Stack:
    """URL and token, which `mecapy up` prints first, and only when gateway and a worker serve."""
    assert up.stdout is not None
    found: dict[str, str] = {}
    for line in up.stdout:
        name, _, value = line.strip().partition(" ")
        found[name.lower()] = value.strip()
        if {"url", "token"} <= found.keys():
            return Stack(found["url"], found["token"])
    reason = log.read_text().strip()[-2000:]
    raise DemoFailed(
        f"The embedded stack did not start:\n{reason}\n`.venv/bin/mecapy doctor` looks for the "
        f"reason."
    )


def execute(path: Path, at: Stack) -> tuple[Any, float]:
    """The notebook with its outputs, and the seconds it took; a failing cell ends the demo with
    that cell's error.
    """
    notebook = nbformat.read(path, as_version=4)
    environment = without_mecapy() | {
        "MECAPY_URL": at.url,
        "MECAPY_TOKEN": at.token,
        "MECAPY_NONINTERACTIVE": "1",
    }
    where = {"metadata": {"path": str(path.parent)}}
    # Quiet: some versions of ipykernel warn about the transport on every start.
    client = NotebookClient(
        notebook,
        timeout=CELL_S,
        startup_timeout=240,
        kernel_name="python3",
        resources=where,
        extra_arguments=["--log-level=ERROR"],
    )
    begin = time.monotonic()
    try:
        client.execute(env=environment)
    except (CellExecutionError, DeadKernelError, TimeoutError) as error:
        raise DemoFailed(f"A cell of {path.name} failed:\n{error}") from error
    return notebook, time.monotonic() - begin


def tasks(at: Stack) -> list[dict[str, Any]]:
    """What the gateway knows of the tasks that ran, oldest first."""
    answer = urllib3.request(
        "GET", f"{at.url}/tasks", headers={"Authorization": f"Bearer {at.token}"}, timeout=60.0
    )
    body = answer.json()
    rows = body["tasks"] if isinstance(body, dict) else body
    return sorted(rows, key=lambda row: row["created_at"])


def show(notebook: Any, ran: list[dict[str, Any]], pictures: Path) -> None:
    """Every remote cell with its place and its output, then the pictures of the whole notebook."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    remote = [cell for cell in cells if cell.source.startswith("%%mecapy")]
    if len(ran) < len(remote):
        raise DemoFailed(
            f"{len(remote)} cells start with %%mecapy, but the gateway saw {len(ran)} tasks: a "
            f"cell ran somewhere else."
        )
    for cell, task in zip(remote, ran, strict=False):
        print(
            f"\nThe cell\n\n{indented(cell.source)}\n\nran as task {task['task_id']} on worker "
            f"{task['worker']}: {how(task)}."
        )
        print(f"Under it the notebook now shows\n\n{indented(text(cell))}\n")
    saved = save_pictures(cells, pictures)
    print(
        f"The cells after it read the variables it left; they end "
        f"with\n\n{indented(text(cells[-1]))}\n"
    )
    for path in saved:
        print(f"picture: {path}")
    if not saved:
        raise DemoFailed("The notebook drew no picture.")


def how(task: dict[str, Any]) -> str:
    started, ended = (datetime.fromisoformat(task[when]) for when in ("started_at", "completed_at"))
    return (
        f"{task['status']} after {(ended - started).total_seconds():.1f} s, attempt "
        f"{task['attempts']}"
    )


def text(cell: Any) -> str:
    """What a reader sees under the cell: what it printed, and the text of what it displayed (the
    live block says what came back).
    """
    printed = "".join(
        output["text"] for output in cell.outputs if output["output_type"] == "stream"
    )
    displayed = [output["data"] for output in cell.outputs if "data" in output]
    shown = [
        data["text/plain"] for data in displayed if "text/plain" in data and "image/png" not in data
    ]
    return "\n".join([printed.strip(), *shown])


def indented(block: str) -> str:
    return "\n".join(f"    {line}" for line in block.splitlines())


def save_pictures(cells: list[Any], folder: Path) -> list[Path]:
    folder.mkdir(exist_ok=True)
    shown = [
        output["data"]["image/png"]
        for cell in cells
        for output in cell.outputs
        if "image/png" in output.get("data", {})
    ]
    saved = [folder / f"picture-{number}.png" for number in range(1, len(shown) + 1)]
    for path, encoded in zip(saved, shown, strict=True):
        path.write_bytes(base64.b64decode(encoded))
    return saved


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("notebook", nargs="?", type=Path, default=HERE / "01_first_cell.ipynb")
    parser.add_argument("--output", type=Path, default=HERE.parent / "demo-output")
    options = parser.parse_args()
    begin = time.monotonic()
    try:
        with tempfile.TemporaryDirectory(
            prefix="mecapy-demo-", ignore_cleanup_errors=True
        ) as folder:
            print("starting PostgreSQL, Valkey, the gateway and the workers …", flush=True)
            with stack(Path(folder)) as at:
                print(
                    f"the stack serves at {at.url} after {time.monotonic() - begin:.1f} s",
                    flush=True,
                )
                print(f"executing {options.notebook.name} …", flush=True)
                notebook, took_s = execute(options.notebook, at)
                show(notebook, tasks(at), options.output)
                nbformat.write(notebook, options.output / options.notebook.name)
        print(f"the notebook with its outputs: {options.output / options.notebook.name}")
        print(
            f"\nThe notebook took {took_s:.0f} s; the stack is stopped. Next: `make lab` opens it "
            f"in JupyterLab."
        )
    except DemoFailed as failure:
        print(f"\nThe demo failed. {failure}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
