"""The container files, as far as they can be checked without a container runtime; test_packaging
runs their installs.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib

import pytest

from .tracked import ROOT

IMAGES = ["backend/Dockerfile", "worker/Dockerfile"]


def instructions(name: str) -> list[tuple[str, str]]:
    """(INSTRUCTION, rest) of each line, continued lines joined, comments left out."""
    content = re.sub(r"(?m)^\s*#.*\n", "", (ROOT / name).read_text())
    joined = content.replace("\\\n", " ")
    return [
        (line.split(None, 1)[0], line.split(None, 1)[1].strip())
        for line in joined.splitlines()
        if line.strip()
    ]


@pytest.mark.parametrize("name", IMAGES)
def test_copied_files_exist(name: str) -> None:
    """Every COPY from the build's context names something the repository has."""
    copies = [
        rest
        for instruction, rest in instructions(name)
        if instruction == "COPY" and "--from=" not in rest
    ]
    sources = [source for rest in copies for source in rest.split()[:-1]]
    assert sources
    assert [source for source in sources if not (ROOT / source).exists()] == []


@pytest.mark.parametrize("name", IMAGES)
def test_runs_as_an_ordinary_user(name: str) -> None:
    """The last stage ends as a numeric user other than root, so that Kubernetes' runAsNonRoot can
    see it.
    """
    stages = "\n".join(f"{instruction} {rest}" for instruction, rest in instructions(name)).split(
        "FROM "
    )
    users = re.findall(r"(?m)^USER (\S+)$", stages[-1])
    assert users
    assert int(users[-1]) > 0


@pytest.mark.parametrize("name", IMAGES)
def test_base_and_health(name: str) -> None:
    """Both build on python:…-slim of the version that `--build-arg PYTHON` names, or on `BASE`, in
    all stages; they say how they are, and start by the exec form, so that SIGTERM arrives.
    """
    found = instructions(name)
    assert {rest.split()[0] for instruction, rest in found if instruction == "FROM"} == {"${BASE}"}
    assert found[:2] == [("ARG", "PYTHON=3.12"), ("ARG", "BASE=python:${PYTHON}-slim")]
    (health,) = [rest for instruction, rest in found if instruction == "HEALTHCHECK"]
    assert json.loads(health[health.index("CMD ") + 4 :])
    (command,) = [rest for instruction, rest in found if instruction == "CMD"]
    assert json.loads(command)[0] == "mecapy"


@pytest.mark.parametrize("name", IMAGES)
def test_installed_extras_exist(name: str) -> None:
    """What pip is told to install is an extra of pyproject.toml, the gateway's without what a
    notebook alone needs; with the pinned versions.
    """
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    runs = " ".join(rest for instruction, rest in instructions(name) if instruction == "RUN")
    extra = re.findall(r"\.\[(\w+)\]|requirements\.py (\w+)", runs)
    assert {"".join(found) for found in extra} == {name.split("/")[0]} <= extras.keys()
    assert runs.count("--constraint constraints.txt") == runs.count("pip install")


def test_worker_is_strict() -> None:
    """The worker image refuses to run a task unconfined."""
    assert "MECAPY_SANDBOX=strict" in dict(instructions("worker/Dockerfile"))["ENV"]


def test_the_gateway_runs_no_notebook() -> None:
    """Its requirements name all that pyproject.toml does, but for the notebook's own."""
    done = subprocess.run(
        [sys.executable, "deploy/requirements.py", "backend"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    named = {re.split(r"[^\w-]", line)[0] for line in done.stdout.splitlines()}
    assert {"fastapi", "asyncpg", "urllib3", "blake3"} <= named
    assert not named & {"ipykernel", "ipywidgets", "anywidget", "numpy"}
