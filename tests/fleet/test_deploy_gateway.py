"""`mecapy deploy gateway --on clever-cloud`: with a `clever` of this folder's own, and long as the
platform does it: `uv sync --locked`, the hook, the command, and its health path.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest

from mecapy_backend.deploy import clever_cloud
from mecapy_backend.deploy.clever_cloud import WantedGateway
from mecapy_backend.shared import environment
from mecapy_jupyter.shared.errors import ConfigError

GOLDEN = """in gateway: pyproject.toml, .python-version, .gitignore, machines.toml, uv.lock
$ clever create --type python --region par --alias mecapy --org orga_1 mecapy
$ clever addon create --plan xs_sml --region par --link mecapy --yes --org orga_1 \
postgresql-addon mecapy-postgresql
$ clever addon create --plan s_mono --region par --link mecapy --yes --org orga_1 \
redis-addon mecapy-redis
$ clever addon create --plan s --region par --link mecapy --yes --org orga_1 \
cellar-addon mecapy-cellar
$ clever env set --alias mecapy CC_PYTHON_UV_RUN_COMMAND \
'uv run mecapy gateway --host 0.0.0.0 --port 8080'
$ clever env set --alias mecapy CC_PRE_RUN_HOOK 'uv run mecapy migrate'
$ clever env set --alias mecapy CC_HEALTH_CHECK_PATH /readyz
$ clever env set --alias mecapy MECAPY_BLOB_URL s3://mecapy-blobs
$ clever env set --alias mecapy MECAPY_MACHINES machines.toml
$ clever env import-vars --alias mecapy MECAPY_TOKEN
$ clever deploy --alias mecapy --same-commit-policy restart
once, by hand: make the bucket mecapy-blobs in the add-on mecapy-cellar
nothing was done (--dry-run); what exists already is not made again
"""
# It keeps what was made, as the real one's answers in JSON show it (clever-tools 3.14).
CLEVER = """#!{python}
import json, os, pathlib, sys
place, words = pathlib.Path({place!r}), sys.argv[1:]
nothing = {{"apps": [], "addons": [], "env": {{}}}}
state = json.loads(place.read_text()) if place.exists() else nothing
match words:
    case ["applications", "list", *_]:
        print(json.dumps([{{"id": "user_1", "applications": state["apps"]}}]))
    case ["addon", "list", *_]:
        print(json.dumps(state["addons"]))
    case ["create", *_, name]:
        state["apps"].append({{"app_id": "app_1", "name": name, "alias": name}})
    case ["addon", "create", *_, kind, name]:
        state["addons"].append({{"name": name}})
    case ["env", "set", "--alias", _, name, value]:
        state["env"][name] = value
    case ["env", "import-vars", "--alias", _, name]:
        state["env"][name] = os.environ[name]
    case ["deploy", *_]:
        state["deployed"] = state.get("deployed", 0) + 1
place.write_text(json.dumps(state))
sys.exit(int(os.environ.get("FAIL", 0)) if words[0] == "deploy" else 0)
"""


def test_dry_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What would be written and typed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MECAPY_MACHINES", "/etc/machines.toml")
    wanted = WantedGateway("mecapy", "par", "orga_1", Path("gateway"))
    assert clever_cloud.deploy(wanted, dry_run=True) == 0
    assert capsys.readouterr().out == GOLDEN
    assert list(tmp_path.iterdir()) == []


def test_twice_is_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The application and its add-ons are made once, and its token stays; each time it is
    deployed. What the platform refuses ends it with a sentence.
    """
    state, programs = tmp_path / "state", tmp_path / "bin"
    programs.mkdir()
    for name, text in (
        ("clever", CLEVER.format(python=sys.executable, place=str(state))),
        ("uv", "#!/bin/sh\ntouch uv.lock\n"),
    ):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    for name in ("MECAPY_MACHINES", "MECAPY_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    wanted = WantedGateway("mecapy", "par", "", tmp_path / "gateway")
    assert clever_cloud.deploy(wanted, dry_run=False) == 0
    first = json.loads(state.read_text())
    token = first["env"]["MECAPY_TOKEN"]
    assert f"MECAPY_TOKEN={token}  is the first admin's" in capsys.readouterr().out
    assert clever_cloud.deploy(wanted, dry_run=False) == 0
    assert json.loads(state.read_text()) == first | {"deployed": 2}
    assert token not in capsys.readouterr().out
    monkeypatch.setenv("FAIL", "3")
    with pytest.raises(ConfigError, match=r"`clever deploy --alias` failed \(3\)"):
        clever_cloud.deploy(wanted, dry_run=False)


def test_add_ons_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their variables hold where ours are not set."""
    ours = ("DATABASE_URL", "REDIS_URL", "S3_ENDPOINT_URL")
    for name in (*(f"MECAPY_{one}" for one in ours), "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "")  # and so it is put back
    monkeypatch.setenv("POSTGRESQL_ADDON_URI", "postgresql://u:p@pg.example:5432/db")
    monkeypatch.setenv("MECAPY_REDIS_URL", "redis://ours/0")
    monkeypatch.setenv("REDIS_URL", "redis://theirs/0")
    monkeypatch.setenv("CELLAR_ADDON_HOST", "cellar.example")
    monkeypatch.setenv("CELLAR_ADDON_KEY_ID", "id")
    monkeypatch.setenv("CELLAR_ADDON_KEY_SECRET", "secret")
    found = environment.settings()
    assert found.database_url == "postgresql://u:p@pg.example:5432/db"
    assert found.redis_url == "redis://ours/0"
    assert found.s3_endpoint_url == "https://cellar.example"
    assert os.environ["AWS_ACCESS_KEY_ID"] == "id"
    assert os.environ["AWS_SECRET_ACCESS_KEY"] == "secret"
