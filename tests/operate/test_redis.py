"""A Redis that answers, and does not do what the queue needs: named, and a cluster refused."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from mecapy_backend.shared.settings import Settings
from mecapy_backend.stack.services import Valkey
from mecapy_jupyter.shared.processes import mecapy_command

from ..conftest import served
from ..ports import free_port
from ..stack.running import until
from ..stack.test_doctor import Doctor, said_by_environment
from .conftest import listens, program, running


@pytest.fixture
def cluster(open_folder: Path) -> Iterator[str]:
    """A real Redis Cluster of one node, which has all slots."""
    port = free_port()
    argv = (
        program("redis-server"), "--port", str(port), "--cluster-enabled", "yes", "--save", "",
        "--bind", "127.0.0.1", "--cluster-config-file", str(open_folder / "nodes"),
        "--cluster-port", str(free_port()),
    )  # fmt: skip
    with running(*argv, log=open_folder / "log"):
        until(lambda: listens(port), 240)
        with redis.Redis(port=port) as node:
            node.execute_command("CLUSTER ADDSLOTSRANGE 0 16383")
            until(lambda: node.execute_command("CLUSTER INFO")["cluster_state"] == "ok", 240)
        yield f"redis://127.0.0.1:{port}/0"


@pytest.mark.parametrize("component", ["gateway", "worker"])
def test_a_cluster_is_refused(cluster: str, settings: Settings, component: str) -> None:
    """Gateway and worker end at start with one sentence that names the setting."""
    env = said_by_environment(settings.model_copy(update={"redis_url": cluster}))
    done = subprocess.run(
        mecapy_command(component), env=env, capture_output=True, text=True, check=False, timeout=120
    )
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and "MECAPY_REDIS_URL names a Redis Cluster" in last
    assert "Traceback" not in done.stderr


def test_a_cluster_comes_later(cluster: str, settings: Settings) -> None:
    """One that takes the place of a Redis is named by the doctor."""
    with served(settings.model_copy(update={"redis_url": cluster})) as gateway:
        doctor = Doctor(gateway.url)
        doctor.finds_part("redis", 200, "cluster")
        doctor.finds("Redis", "cluster", "MECAPY_REDIS_URL")


@pytest.fixture
def own_valkey(open_folder: Path) -> Iterator[Valkey]:
    with Valkey.start(open_folder / "v") as server:
        yield server


@pytest.mark.parametrize("denied", ["client|unblock", "client", "eval", "xadd", "publish"])
def test_a_command_is_denied(own_valkey: Valkey, settings: Settings, denied: str) -> None:
    """A user who may not use one command of the queue: the doctor names user setting and command;
    with what docs/managed-services.md gives, all is well.
    """
    rights = ("+@all", f"-{denied}", *(["-evalsha"] if denied == "eval" else []))
    finds_part(own_valkey, settings, rights, "refused")
    documented = (Path(__file__).parents[2] / "docs/managed-services.md").read_text()
    rule = next(line for line in documented.splitlines() if line.startswith("ACL SETUSER mecapy"))
    finds_part(own_valkey, settings, tuple(rule.split()[7:]), "ok")


def finds_part(server: Valkey, settings: Settings, rights: tuple[str, ...], state: str) -> None:
    """That is what /readyz says of Redis for a user with these rights."""
    with redis.Redis.from_url(server.url) as admin:
        admin.execute_command(
            "ACL", "SETUSER", "mecapy", "reset", "on", ">secret", "~mecapy:*", "&mecapy:*", *rights
        )
    url = f"unix://mecapy:secret@{server.socket}?db=0"
    with served(settings.model_copy(update={"redis_url": url})) as gateway:
        doctor = Doctor(gateway.url)
        doctor.finds_part("redis", 200, state)
        if state != "ok":
            doctor.finds("Redis", state, "MECAPY_REDIS_URL", "permission")


def test_a_wrong_password(own_valkey: Valkey, settings: Settings) -> None:
    """The cause is the password, in one line."""
    with redis.Redis.from_url(own_valkey.url) as admin:
        admin.execute_command("ACL SETUSER mecapy on >secret ~* &* +@all")
    url = f"unix://mecapy:wrong@{own_valkey.socket}?db=0"
    with served(settings.model_copy(update={"redis_url": url})) as gateway:
        doctor = Doctor(gateway.url)
        doctor.finds_part("redis", 200, "refused")
        doctor.finds("refuses the user or password of MECAPY_REDIS_URL")
