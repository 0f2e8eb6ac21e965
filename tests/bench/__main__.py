"""`make bench`: measures every figure beside its target, each part in its own process.

A full run writes the lines with a target between the markers of docs/benchmarks.md.
Never run as a test.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

PARTS = {
    "trip": "Round trip of a trivial cell",
    "before": "The check before a cell is sent: 1,000 names and an array of 256 MiB",
    "throughput": "Many tasks",
    "packages": "Packages, learned imports, and the cache of results",
    "graph": "A graph: each task needs the one before",
    "child": "A child, from fork to end",
    "data": "Data: 256 MiB of float64",
    "scaling": "What a cell costs by how much it changes, and the memory of a large array",
    "s3": "S3 compared with boto3 on the same server",
    "deep": "A deep queue",
    "streams": "Streams",
    "pages": "Open pages, beside followed tasks",
    "confinement": "What confinement costs",
    "telemetry": "What traces and logs by OpenTelemetry cost",
}
TABLES, HEADINGS, START = {"scaling", "s3"}, ("used again", "tasks of"), "mecapy up: serving after"
PAGE = Path("docs/benchmarks.md")
BEGIN, END = "<!-- make bench writes from here -->", "<!-- to here -->"


def part(name: str) -> str:
    """Runs one part, prints its output and returns it."""
    lines: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-m", f"tests.bench.{name}"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        lines.append(f"(exit status {process.returncode}: figures are missing)\n")
        print(lines[-1], end="")
    return "".join(lines)


def about() -> str:
    """Version, date and machine of the run."""
    system = (
        f"{platform.system()} {platform.release().split('-')[0]}, Python "
        f"{platform.python_version()}, {os.cpu_count()} cores"
    )
    return (
        f"The last run: version {version('mecapy-jupyter')}, {time.strftime('%Y-%m-%d')}, "
        f"{system}, all on one machine."
    )


def on_page(name: str, output: str) -> str:
    """The lines with a target and their headings; the rest is detail, which is only printed."""
    lines = [line for line in output.splitlines() if name == "trip" or START not in line]
    return "\n".join(
        line for line in lines if name in TABLES or "target" in line or line.startswith(HEADINGS)
    )


def main() -> None:
    wanted = sys.argv[1:] or list(PARTS)
    found: list[str] = []
    for name in wanted:
        print(f"\n{PARTS[name]}", flush=True)
        output = part(name).strip("\n")
        if shown := on_page(name, output):
            found.append(f"### {PARTS[name]}\n\n```text\n{shown}\n```\n")
    if wanted == list(PARTS):
        before, _, rest = PAGE.read_text().partition(BEGIN)
        after = rest.partition(END)[2]
        PAGE.write_text(f"{before}{BEGIN}\n\n{about()}\n\n{chr(10).join(found)}\n{END}{after}")


if __name__ == "__main__":
    main()
