"""`mecapy deploy image`: images of the worker or the gateway, one for each Python, by whichever
engine works here.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mecapy_jupyter.shared.errors import ConfigError
from mecapy_jupyter.shared.version import __version__

PYTHONS = ("3.11", "3.12", "3.13")
DEFAULT_PYTHON = "3.12"
DOCKERFILES = {"worker": "worker/Dockerfile", "gateway": "backend/Dockerfile"}
_ENGINES = {
    # Docker's client is often there without its service.
    "docker": ("docker", "version", "--format", "{{.Server.Version}}"),
    "podman": ("podman", "info"),
    "buildah": ("buildah", "--version"),
}
_BUILD = {
    "docker": ("docker", "build"),
    "podman": ("podman", "build", "--format", "docker"),
    "buildah": ("buildah", "bud", "--format", "docker"),  # OCI's format has no HEALTHCHECK
}


@dataclass(frozen=True, slots=True)
class WantedImages:
    """`part`: worker or gateway. `repository`: where they belong, as
    `rg.fr-par.scw.cloud/mine/mecapy-worker`; "": a name of this machine. `pythons`: of them, an
    image each. `source`: the checkout. `more`: words for the engine's build.
    """

    part: str = "worker"
    repository: str = ""
    pythons: Sequence[str] = PYTHONS
    source: Path = Path()
    push: bool = False
    more: Sequence[str] = ()


def deploy(wanted: WantedImages, *, dry_run: bool) -> int:
    if not (wanted.source / DOCKERFILES[wanted.part]).is_file():
        raise ConfigError(
            f"{wanted.source.resolve()} has no {DOCKERFILES[wanted.part]}: run it in a checkout of "
            "MecaPy, or name one by --source"
        )
    for command in commands(wanted, engine()):
        print(f"$ {shlex.join(command)}", flush=True)
        if not dry_run and (code := subprocess.run(command, check=False).returncode):
            print(f"{command[0]} failed with exit status {code}; its output is above")
            return 1
    built = ", ".join(tags(wanted, python)[0] for python in wanted.pythons)
    print("nothing was built (--dry-run)" if dry_run else f"built {built}")
    return 0


def engine() -> str:
    """The first that works."""
    for name, asked in _ENGINES.items():
        if shutil.which(name):
            ran = subprocess.run(asked, capture_output=True, check=False, timeout=60)
            if not ran.returncode:
                return name
    raise ConfigError("no engine that builds images works here: install docker, podman or buildah")


def commands(wanted: WantedImages, by: str) -> list[list[str]]:
    found: list[list[str]] = []
    for python in wanted.pythons:
        names = tags(wanted, python)
        found.append([
            *_BUILD[by], "-f", str(wanted.source / DOCKERFILES[wanted.part]),
            "--build-arg", f"PYTHON={python}", *(word for name in names for word in ("-t", name)),
            *wanted.more, str(wanted.source),
        ])  # fmt: skip
        found += [[by, "push", name] for name in names if wanted.push]
    return found


def tags(wanted: WantedImages, python: str) -> list[str]:
    """The tags by version and Python; the usual Python's image also has its version alone."""
    repository = wanted.repository or f"mecapy-{wanted.part}"
    plain = [f"{repository}:{__version__}"] if python == DEFAULT_PYTHON else []
    return [f"{repository}:{__version__}-py{python}", *plain]
