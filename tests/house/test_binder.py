"""binder/: what repo2docker would do with it, and those steps done here: install, postBuild, start,
and the first notebook runs.

Without a container: the steps run in a fresh virtual environment of this Python, which finds
third-party packages where this suite has them (in the versions the requirements name), so that only
MecaPy itself is installed anew. The base image is repo2docker's own business.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.extension.server import Server, environment, running
from tests.stack.running import until

from .tracked import ROOT, tracked

ABSENT = "00000000-0000-4000-8000-000000000000"
NOTEBOOK = "notebooks/01_first_cell.ipynb"


class Plan(NamedTuple):
    """repo2docker's plan: the lines of its Dockerfile, continued ones joined."""

    lines: list[str]

    def rest(self, start: str, *words: str) -> str:
        """What follows `start` in the one line that has all these words."""
        [found] = [
            line
            for line in self.lines
            if line.startswith(start) and all(word in line for word in words)
        ]
        return found.removeprefix(start).strip()


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a clone has, and nothing else."""
    folder = tmp_path_factory.mktemp("clone")
    for path in tracked():
        target = folder / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    return folder


@pytest.fixture(scope="module")
def plan(checkout: Path) -> Plan:
    pytest.importorskip(
        "repo2docker", reason="repo2docker is not installed (pip install mecapy-jupyter[dev])"
    )
    argv = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "repo2docker",
        "--no-build",
        "--debug",
        "--user-id=1000",
        "--user-name=jovyan",
        str(checkout),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=checkout.parent)
    assert done.returncode == 0, done.stderr
    dockerfile = (done.stdout + done.stderr).replace("\\\n", " ")
    return Plan(dockerfile.splitlines())


def test_repo2docker_reads_it(plan: Plan) -> None:
    """It takes the Python we name, our requirements, postBuild and start, and starts the server as
    an ordinary user.
    """
    version = (ROOT / "binder/runtime.txt").read_text().strip().removeprefix("python-")
    assert version.replace(".", "-2e") in plan.rest(
        "COPY", "environment.lock"
    )  # as it writes dots in file names
    assert plan.rest("RUN", "binder/requirements.txt").startswith(
        "${KERNEL_PYTHON_PREFIX}/bin/pip install"
    )
    assert plan.rest("RUN ./") == "binder/postBuild"
    assert plan.rest("ENV R2D_ENTRYPOINT=") == '"${REPO_DIR}/binder/start"'
    assert json.loads(plan.rest("CMD"))[:2] == ["jupyter", "notebook"]
    assert [line for line in plan.lines if line.startswith("USER")][-1] == "USER ${NB_USER}"


@pytest.fixture
def home() -> Iterator[Path]:
    """Not in pytest's own temporary folder: its path is longer than a socket's may be for some
    users.
    """
    with tempfile.TemporaryDirectory(prefix="mecapy-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.mark.long
def test_its_steps_lead_to_the_first_notebook(plan: Plan, checkout: Path, home: Path) -> None:
    """Install, postBuild, start: the server opens on the first notebook, has the extension, starts
    the stack, and the notebook runs.
    """
    pytest.importorskip(
        "notebook", reason="Notebook 7 is not installed (pip install mecapy-jupyter[dev])"
    )
    python = fresh(home / "venv")
    env = environment(home, PATH=f"{python.parent}{os.pathsep}{os.environ['PATH']}")
    mecapy = partial(command_of, python, checkout, env)
    install = shlex.split(plan.rest("RUN", "binder/requirements.txt"))
    run([str(python), "-m", "pip", *install[1:], "--no-build-isolation", "--quiet"], checkout, env)
    assert (home / "venv/etc/jupyter/jupyter_server_config.d/mecapy_jupyter.json").is_file()
    run(["./binder/postBuild"], checkout, env)
    # `jupyter notebook` of this environment, whose Jupyter stands elsewhere.
    shared = {
        "JUPYTER_CONFIG_PATH": f"{sys.prefix}/etc/jupyter",
        "JUPYTERLAB_DIR": f"{sys.prefix}/share/jupyter/lab",
    }
    command = [str(checkout / "binder/start"), str(python), "-m", json.loads(plan.rest("CMD"))[1]]
    try:
        with running(home, *command, root=checkout, PATH=env["PATH"], **shared) as server:
            opens_on_the_notebook(server)
            until(lambda: "MecaPy: ready at" in server.log.read_text(), 400)
            until(lambda: serving(json.loads(mecapy("status", "--json"))["components"]), 240)
            run(
                [str(python), "-c", "from nbclient.cli import main; main()", "--inplace", NOTEBOOK],
                checkout,
                env,
            )
            ran = json.loads(mecapy("tasks", "--json"))["tasks"]
            assert ran and {task["status"] for task in ran} == {"completed"}
    finally:
        mecapy("down")


def serving(parts: list[dict[str, Any]]) -> bool:
    return {"postgres", "redis", "gateway", "worker"} == {
        part["name"] for part in parts if part["healthy"]
    }


def command_of(python: Path, cwd: Path, env: dict[str, str], *arguments: str) -> str:
    """What the installed `mecapy` says."""
    return run([str(python.with_name("mecapy")), *arguments], cwd, env)


def opens_on_the_notebook(server: Server) -> None:
    page = server.page()
    try:
        assert page.get("").headers["Location"].rstrip("?") == f"/user/ada/lab/tree/{NOTEBOOK}"
        assert "jupyter-config-data" in page.get(f"lab/tree/{NOTEBOOK}").text
        assert (
            page.get(f"mecapy/tasks/{ABSENT}").headers["Content-Type"] == "application/json"
        )  # the extension's 404, not Jupyter's page
    finally:
        page.close()


def fresh(folder: Path) -> Path:
    """An environment of its own that also finds what this one has installed, without its editable
    MecaPy.
    """
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    [site] = (folder / "lib").glob("python*/site-packages")
    (site / "third-party.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    return python


def run(argv: list[str], cwd: Path, env: dict[str, str]) -> str:
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv}\n{done.stdout}\n{done.stderr}"
    return done.stdout
