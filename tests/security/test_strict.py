"""A worker that lacks a layer: `strict` does not serve and says which and what to do, `best-effort`
serves and says it in one line.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mecapy_jupyter.shared.processes import mecapy_command
from mecapy_worker.pool.options import NEEDED

from ..conftest import TOKEN
from .ground import REPOSITORY, Ground, until, worker

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="nothing confines a child here")

LAYERS = ("landlock", "seccomp", "no_new_privs")
ADVICE = {
    "landlock": "use a kernel with Landlock",
    "seccomp": "use a kernel with seccomp filters",
    "no_new_privs": "let prctl(2) through",
}


def launcher(layer: str) -> tuple[str, ...]:
    return (sys.executable, str(Path(__file__).parent / "without.py"), layer)


def nowhere(sandbox: str) -> dict[str, str]:
    """Settings of a worker whose services do not answer: it asks for its confinement before it
    needs any of them.
    """
    away = {
        "MECAPY_DATABASE_URL": "postgresql://127.0.0.1:9/none",
        "MECAPY_REDIS_URL": "redis://127.0.0.1:9/0",
    }
    path = os.pathsep.join(str(REPOSITORY / folder) for folder in (".", "backend", "worker"))
    return away | {
        "MECAPY_SANDBOX": sandbox,
        "MECAPY_PRELOAD": "",
        "MECAPY_LOG_FORMAT": "json",
        "PYTHONPATH": path,
    }


@pytest.mark.parametrize("layer", LAYERS)
def test_strict_refuses(tmp_path: Path, layer: str) -> None:
    """It ends with the name of the layer, why it is missing, and what to do;
    without a traceback.
    """
    with worker(tmp_path, os.geteuid(), nowhere("strict"), *launcher(layer)) as process:
        assert process.wait(240) == 1
    said = (tmp_path / "worker.log").read_text()
    assert (
        f"{layer} is missing" in said
        and ADVICE[layer] in said
        and "MECAPY_SANDBOX=best-effort" in said
    )
    assert "Traceback" not in said


def test_best_effort_says_what_is_missing(tmp_path: Path) -> None:
    """It serves, and one line names the layer, the reason, and which attacks succeed."""
    with worker(tmp_path, os.geteuid(), nowhere("best-effort"), *launcher("files")) as process:
        lines = until(
            lambda: [
                line
                for line in (tmp_path / "worker.log").read_text().splitlines()
                if "not fully confined" in line
            ]
        )
        assert process.poll() is None
    assert len(lines) == 1 and "landlock is missing" in lines[0] and "read_outside" in lines[0]


def test_advice_for_every_needed_layer() -> None:
    """Each layer `strict` needs has something to do."""
    assert set(LAYERS) <= NEEDED.keys() and all(NEEDED.values())


def test_workers_say_their_layers(here: Ground) -> None:
    """`GET /workers` lists the layers with Landlock's version, and `mecapy doctor` shows them."""
    (about,) = here.gateway.get("/workers")
    said = about["info"]["confinement"] if "info" in about else about["confinement"]
    assert (
        said["level"] == "strict"
        and set(NEEDED) <= set(said["layers"])
        and said["landlock"] > 0
        and said["through"] == []
    )
    env = os.environ | {"MECAPY_URL": here.gateway.url, "MECAPY_TOKEN": TOKEN}
    done = subprocess.run(
        mecapy_command("doctor"), capture_output=True, text=True, check=False, timeout=240, env=env
    )
    assert (
        "confines its tasks: " in done.stdout and f"landlock {said['landlock']}" in done.stdout
    ), done.stdout
