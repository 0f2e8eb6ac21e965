"""`mecapy deploy gateway --on clever-cloud`: the folder that its native uv mode runs, and the
commands of clever-tools that bring it up. What is there already is left as it is.
"""

from __future__ import annotations

import json
import os
import secrets
import shlex
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from mecapy_jupyter.shared.errors import ConfigError
from mecapy_jupyter.shared.version import __version__
from mecapy_jupyter.wire import JsonObject

ADDONS = {
    "postgresql-addon": ("postgresql", "xs_sml"),
    "redis-addon": ("redis", "s_mono"),
    "cellar-addon": ("cellar", "s"),
}
"""For each add-on the end of its name here, and its plan."""

_PROJECT = """[project]
name = "mecapy-gateway"
version = "{version}"
requires-python = ">=3.11"
dependencies = ["mecapy-jupyter[backend]=={version}"]
"""
_WHEEL = '\n[tool.uv.sources]\nmecapy-jupyter = {{ path = "{name}" }}\n'
_MACHINES = "machines.toml"
_FROM_HERE = ("MECAPY_TOKEN",)


@dataclass(frozen=True, slots=True)
class WantedGateway:
    """`organisation`: its id, "": the user's own. `folder`: is made, and pushed by git. `wheel`: of
    MecaPy, where the published one is not meant.
    """

    name: str
    region: str
    organisation: str
    folder: Path
    wheel: Path | None = None


@dataclass(frozen=True, slots=True)
class Deployed:
    """What is at Clever Cloud: `app`: its id, or ""; `linked`: the folder knows it; `addons`: the
    names of the account's.
    """

    app: str = ""
    linked: bool = False
    addons: frozenset[str] = field(default_factory=frozenset[str])


def deploy(wanted: WantedGateway, *, dry_run: bool) -> int:
    machines = os.environ.get("MECAPY_MACHINES", "")
    if dry_run:
        print(f"in {wanted.folder}: {', '.join(files(wanted, machines))}, uv.lock")
        for command in commands(wanted, Deployed(), machines):
            print(f"$ {shlex.join(command)}")
        print(_bucket(wanted))
        print("nothing was done (--dry-run); what exists already is not made again")
        return 0
    _write(wanted, files(wanted, machines))
    if not shutil.which("clever"):
        for command in commands(wanted, Deployed(), machines):
            print(f"$ {shlex.join(command)}")
        print(f"type these in {wanted.folder}, after `npm install -g clever-tools`, `clever login`")
        return 1
    there = _deployed(wanted)
    token = os.environ.get("MECAPY_TOKEN") or ("" if there.app else secrets.token_urlsafe(32))
    for command in commands(wanted, there, machines, with_token=bool(token)):
        print(f"$ {shlex.join(command)}", flush=True)
        _run(wanted, *command, token=token)
    print(_bucket(wanted))
    if token and not os.environ.get("MECAPY_TOKEN"):
        print(f"MECAPY_TOKEN={token}  is the first admin's; it is not shown again")
    return 0


def files(wanted: WantedGateway, machines: str) -> dict[str, str | Path]:
    """Name → what stands in it, or a file to copy."""
    found: dict[str, str | Path] = {
        "pyproject.toml": _PROJECT.format(version=__version__),
        ".python-version": "3.12\n",
        ".gitignore": ".venv\n",
    }
    if wanted.wheel:
        found["pyproject.toml"] = (
            f"{_PROJECT}{_WHEEL}".format(version=__version__, name=wanted.wheel.name)
        )  # fmt: skip
        found[wanted.wheel.name] = wanted.wheel
    if machines:
        found[_MACHINES] = Path(machines)
    return found


def variables(wanted: WantedGateway, machines: str) -> Mapping[str, str]:
    """Add-ons bring theirs, which MecaPy reads as they are."""
    found = {
        "CC_PYTHON_UV_RUN_COMMAND": "uv run mecapy gateway --host 0.0.0.0 --port 8080",
        "CC_PRE_RUN_HOOK": "uv run mecapy migrate",
        "CC_HEALTH_CHECK_PATH": "/readyz",
        "MECAPY_BLOB_URL": f"s3://{wanted.name}-blobs",
    }
    return found | ({"MECAPY_MACHINES": _MACHINES} if machines else {})


def commands(
    wanted: WantedGateway, there: Deployed, machines: str, *, with_token: bool = True
) -> list[list[str]]:
    """The commands in their order; none for what exists already."""
    alias, org = ["--alias", wanted.name], ["--org", wanted.organisation]
    org = org if wanted.organisation else []
    found: list[list[str]] = []
    if there.app and not there.linked:
        found.append(["clever", "link", there.app, *alias, *org])
    if not there.app:
        words = ["--type", "python", "--region", wanted.region, *alias, *org]
        found.append(["clever", "create", *words, wanted.name])
    for kind, (ending, plan) in ADDONS.items():
        name = f"{wanted.name}-{ending}"
        if name not in there.addons:
            words = ["--plan", plan, "--region", wanted.region, "--link", wanted.name, "--yes"]
            found.append(["clever", "addon", "create", *words, *org, kind, name])
    for name, value in variables(wanted, machines).items():
        found.append(["clever", "env", "set", *alias, name, value])
    if with_token:  # by name: a list of processes shows words
        found.append(["clever", "env", "import-vars", *alias, ",".join(_FROM_HERE)])
    return [*found, ["clever", "deploy", *alias, "--same-commit-policy", "restart"]]


def _bucket(wanted: WantedGateway) -> str:
    return f"once, by hand: make the bucket {wanted.name}-blobs in the add-on {wanted.name}-cellar"


def _write(wanted: WantedGateway, found: Mapping[str, str | Path]) -> None:
    """As a git repository, with its lock file."""
    folder = wanted.folder
    folder.mkdir(parents=True, exist_ok=True)
    for name, what in found.items():
        if isinstance(what, Path):
            shutil.copyfile(what, folder / name)
        else:
            (folder / name).write_text(what)
    _run(wanted, "uv", "lock", "--quiet")
    _run(wanted, "git", "init", "--quiet")
    _run(wanted, "git", "add", "--all")
    if _answer(wanted, "git", "status", "--porcelain"):
        who = ("-c", "user.name=mecapy", "-c", "user.email=mecapy@localhost")
        _run(wanted, "git", *who, "commit", "--quiet", "--message", f"MecaPy {__version__}")


def _deployed(wanted: WantedGateway) -> Deployed:
    org = ["--org", wanted.organisation] if wanted.organisation else []
    listed = _listed(wanted, "applications", "list", "--format", "json", *org)
    apps = [app for owner in listed for app in cast("list[JsonObject]", owner["applications"])]
    found = next((app for app in apps if app.get("name") == wanted.name), None)
    addons = _listed(wanted, "addon", "list", "--format", "json", *org)
    names = frozenset(str(one["name"]) for one in addons)
    if found is None:
        return Deployed(addons=names)
    return Deployed(str(found["app_id"]), found.get("alias") == wanted.name, names)


def _listed(wanted: WantedGateway, *words: str) -> Sequence[JsonObject]:
    return cast("Sequence[JsonObject]", json.loads(_answer(wanted, "clever", *words) or "[]"))


def _answer(wanted: WantedGateway, *words: str) -> str:
    ran = subprocess.run(
        words, cwd=wanted.folder, capture_output=True, text=True, check=False, timeout=300
    )
    return _good(words, ran.returncode, ran.stderr) or ran.stdout


def _run(wanted: WantedGateway, *words: str, token: str = "") -> None:
    given = os.environ | ({"MECAPY_TOKEN": token} if token else {})
    try:
        ran = subprocess.run(words, cwd=wanted.folder, env=given, check=False, timeout=3600)
    except FileNotFoundError:
        raise ConfigError(f"there is no `{words[0]}` here: install it") from None
    _good(words, ran.returncode)


def _good(words: Sequence[str], code: int, said: str = "") -> str:
    if code:
        more = f": {said.strip()[:500]}" if said else ""
        raise ConfigError(
            f"`{shlex.join(words[:3])}` failed ({code}){more}; correct that and repeat"
        )
    return ""
