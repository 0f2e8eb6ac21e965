"""The built wheel, as a user installs it: complete, light, and one version everywhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from .tracked import ROOT

SERVER_LIBRARIES = [
    "fastapi",
    "sqlalchemy",
    "asyncpg",
    "arq",
    "redis",
    "boto3",
    "pydantic",
    "uvicorn",
    "structlog",
    "numpy",
    "pandas",
    "matplotlib",
]
LOAD = f"""
import importlib.util, sys
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_line_magic("load_ext", "mecapy_jupyter")
assert "mecapy" in shell.magics_manager.magics["cell"], "no %%mecapy"
assert "mecapy" in shell.magics_manager.magics["line"], "no %mecapy"
servers = {SERVER_LIBRARIES!r}
print("loaded:", [name for name in servers if name in sys.modules])
print("installed:", [name for name in servers if importlib.util.find_spec(name)])
"""


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """The command's stdout; with its stderr in the failure when it fails."""
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("MECAPY_", "PYTHONPATH"))
    }
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=clean,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the sources, so that nothing is left in the checkout and
    nothing of it gets in.
    """
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "setup.py", "setup.cfg", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("mecapy_jupyter", "backend", "worker"):
        shutil.copytree(
            ROOT / name,
            source / name,
            ignore=shutil.ignore_patterns("__pycache__", "*.egg-info", "node_modules"),
        )
    run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "--wheel-dir",
        out,
        source,
    )
    (built,) = out.glob("*.whl")
    return built


def test_wheel_is_complete(wheel: Path) -> None:
    """All modules, the widget's files, migrations and type markers are in the wheel, and no test
    is. The sidebar is there as built: its sources need npm.
    """
    inside = set(zipfile.ZipFile(wheel).namelist())
    for shelf, package in (
        (ROOT, "mecapy_jupyter"),
        (ROOT / "backend", "mecapy_backend"),
        (ROOT / "worker", "mecapy_worker"),
    ):
        files = [
            path
            for path in (shelf / package).rglob("*")
            if path.suffix in {".py", ".js", ".css", ".mako", ".typed"}
            and "labextension" not in path.parts
        ]
        assert {str(path.relative_to(shelf)) for path in files} <= inside
    assert {
        "mecapy_jupyter/widget.js",
        "mecapy_jupyter/widget.css",
        "mecapy_backend/py.typed",
    } <= inside
    assert any(name.startswith("mecapy_backend/migrations/versions/0013") for name in inside)
    data = sorted(name.partition(".data/data/")[2] for name in inside if ".data/" in name)
    assert data == [
        "etc/jupyter/jupyter_server_config.d/mecapy_jupyter.json",
        "share/jupyter/labextensions/mecapy-jupyter/install.json",
        "share/jupyter/labextensions/mecapy-jupyter/package.json",
        "share/jupyter/labextensions/mecapy-jupyter/static/remoteEntry.js",
    ]
    tops = {
        name.split("/")[0] for name in inside if ".dist-info/" not in name and ".data/" not in name
    }
    assert tops == {"mecapy_jupyter", "mecapy_backend", "mecapy_worker"}


def test_version_comes_from_one_place(wheel: Path) -> None:
    """The wheel, its metadata and `mecapy_jupyter.__version__` agree, and no other file says a
    version.
    """
    from mecapy_jupyter.shared.version import __version__

    assert wheel.name.split("-")[1] == __version__
    metadata = (
        zipfile.ZipFile(wheel).read(f"mecapy_jupyter-{__version__}.dist-info/METADATA").decode()
    )
    assert f"\nVersion: {__version__}\n" in metadata
    assert "version" not in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


@pytest.mark.long
def test_bare_install_is_light(wheel: Path, tmp_path: Path) -> None:
    """In a fresh environment the bare wheel loads the extension, and no server library is installed
    or imported.
    """
    python = environment(tmp_path / "venv")
    install(python, wheel)
    assert (
        run(python, "-W", "error::DeprecationWarning:mecapy_jupyter", "-c", LOAD, cwd=tmp_path)
        == "loaded: []\ninstalled: []\n"
    )
    assert wheel.name.split("-")[1] in run(python.with_name("mecapy"), "--version")


def environment(folder: Path) -> Path:
    if uv := find_uv():
        run(uv, "venv", "--quiet", "--python", sys.executable, folder)
    else:
        run(sys.executable, "-m", "venv", "--without-pip", folder)
    return folder / "bin" / "python"


def install(python: Path, *what: str | Path) -> None:
    constraints = ("--constraint", ROOT / "constraints.txt")
    if uv := find_uv():
        run(uv, "pip", "install", "--quiet", "--python", python, *constraints, *what)
    else:
        run(
            sys.executable,
            "-m",
            "pip",
            "--python",
            python,
            "install",
            "--quiet",
            *constraints,
            *what,
        )


def find_uv() -> str | None:
    """uv where it is there: it installs in a second what pip needs ten for."""
    return shutil.which(
        "uv", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    )
