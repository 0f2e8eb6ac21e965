"""`make bench-peers`: compares MecaPy with other systems in one run, and writes docs/benchmarks.md.

The others are installed into .venv-peers. Each is measured in its own process with a time limit;
one that cannot be installed or does not run is shown with its reason. Never run as a test.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import psutil

from .table import Found, table, write
from .valkey import valkey

ROOT = Path(__file__).resolve().parents[3]
HOME = ROOT / ".venv-peers"
DOCUMENT = ROOT / "docs" / "benchmarks.md"
TIMEOUT_S, INSTALL_S = 120.0, 600.0
# What each needs beyond numpy and ipykernel, and how many calls its map has: brokers that take a
# message per call get fewer.
PEERS: dict[str, tuple[str, tuple[str, ...], int]] = {
    "mecapy": ("MecaPy", (), 5000),
    "ipyparallel": ("ipyparallel", ("ipyparallel",), 5000),
    "dask": ("Dask distributed", ("dask[distributed]",), 5000),
    "ray": ("Ray", ("ray",), 5000),
    "celery": ("Celery, Redis", ("celery[redis]",), 2000),
    "arq": ("arq, as it comes", ("arq",), 2000),
}
INTRO = """## Comparison with other systems

`make bench-peers` writes this section. A trip is the cell `x = 1 + 1` of a real kernel ({day},
{cores} cores). MecaPy uses a new sandboxed process per task and PostgreSQL; the others use a
long-lived process and store nothing. MB/s: 256 MiB there and back, less the addition. Ray returns
a read-only view.
"""


def environment_of(name: str) -> Path:
    """The interpreter it runs in. arq and Celery need different versions of redis-py, so arq has an
    environment of its own inside.
    """
    home = HOME / "arq" if name == "arq" else HOME
    return home / "bin" / "python"


def install(python: Path, packages: Iterable[str]) -> str:
    """Why it did not work, or nothing."""
    if not python.exists():
        home = python.parent.parent
        print(f"making {home.relative_to(ROOT)}", flush=True)
        venv.create(home, with_pip=True, clear=True)
    command = [
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "numpy",
        "ipykernel",
        *packages,
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=INSTALL_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"not installed after {INSTALL_S:.0f} s"
    return "" if done.returncode == 0 else f"not installed: {_last(done.stderr)}"


def measure(name: str, python: str, *options: str, redis_url: str = "") -> Found:
    """One peer in a process of its own; ended with all it started when it takes too long."""
    with (
        tempfile.TemporaryDirectory(prefix="peers-", ignore_cleanup_errors=True) as folder,
        tempfile.TemporaryFile("w+") as errors,
    ):
        home = {
            "IPYTHONDIR": folder,
            "PYTHONPATH": str(ROOT),
            "BENCH_REDIS_URL": redis_url,
            "PYTHONWARNINGS": "ignore",
        }
        environment = {
            key: value for key, value in os.environ.items() if not key.startswith("MECAPY_")
        } | home
        command = [python, "-m", f"{__package__}.kernel", name, *options]
        process = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        try:
            said, _ = process.communicate(timeout=TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return Found(name, reason=f"not done after {TIMEOUT_S:.0f} s")
        finally:
            end(process.pid)
        errors.seek(0)
        if process.returncode or not said.strip():
            return Found(name, reason=_last(errors.read()) or f"exit {process.returncode}")
    found = json.loads(said.splitlines()[-1])
    reason = found.pop("no_data", "")
    return Found(name, **found, reason=f"no array came back: {reason}" if reason else "")


def end(pid: int) -> None:
    """The process and what it started, by pid; nothing to do when all went well."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for one in family:
        try:
            one.terminate()
        except psutil.NoSuchProcess:
            continue
    for one in psutil.wait_procs(family, timeout=10)[1]:
        one.kill()


def touch(size_bytes: int) -> None:
    """Write to so much memory once, in a process that gives it back: whoever comes first does not
    pay for a new machine's pages.
    """
    subprocess.run(
        [sys.executable, "-c", f"import numpy; numpy.ones({size_bytes}, 'u1')"], check=True
    )


def _last(text: str) -> str:
    return next((line.strip()[:300] for line in reversed(text.splitlines()) if line.strip()), "")


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument(
        "peers",
        nargs="*",
        help=f"only these, and the document stays as it is; known: {', '.join(PEERS)}",
    )
    only: list[str] = arguments.parse_args().peers
    touch(min(4 << 30, psutil.virtual_memory().available // 2))
    first, trips_s, others = Found("local kernel"), list[float](), list[Found]()
    with valkey() as redis_url:
        for name in only or PEERS:
            title, packages, calls = PEERS[name]
            local = measure("local", sys.executable, *(["--trips-only"] if trips_s else []))
            if not local.trips_s:
                raise SystemExit(f"the local kernel: {local.reason}")
            first, trips_s = first if trips_s else local, trips_s + local.trips_s
            python = environment_of(name) if packages else Path(sys.executable)
            reason = install(python, packages) if packages else ""
            found = (
                Found(title, reason=reason)
                if reason
                else measure(name, str(python), "--calls", str(calls), redis_url=redis_url)
            )
            others.append(
                Found(
                    title,
                    found.trips_s,
                    found.calls,
                    found.calls_per_s,
                    found.bytes_per_s,
                    found.reason,
                )
            )
            print(f"{title}: {found.reason or f'p50 {found.p50_s * 1e3:.1f} ms'}", flush=True)
    shown = table(
        Found("local kernel", trips_s, first.calls, first.calls_per_s, first.bytes_per_s), others
    )
    print(f"\n{shown}")
    if not only:
        write(DOCUMENT, f"{INTRO.format(day=date.today(), cores=os.cpu_count())}\n{shown}")
        print(f"\nwritten into {DOCUMENT.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
