"""For tokens: a gateway that believes a provider of ours, and an empty home. For hostile cells: a
worker of root, then one of nobody.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

pytest.register_assert_rewrite("tests.security.ground")

from ..conftest import TOKEN, execute, named, served  # noqa: E402
from .ground import NOBODY, Ground, ground  # noqa: E402
from .provider import Provider  # noqa: E402
from .visitor import Visitor  # noqa: E402

FOR_ROOT = ("test_memory.py", "test_bombs.py", "test_hosts.py")
"""A worker of root has more to lose. That one of nobody is as confined, `test_attacks`,
`test_strict` and `test_bypass` show.
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.name in FOR_ROOT and "[unprivileged" in item.name:
            item.add_marker(pytest.mark.long)


@pytest.fixture(scope="session")
def grounds(postgres: Any, valkey: Any) -> Iterator[Callable[[int], Ground]]:
    """A user's worker, from the first test that asks for it until the run is over: it takes seconds
    to start.
    """
    with ExitStack() as stack:

        @cache
        def opened(uid: int) -> Ground:
            name = f"test_{uuid.uuid4().hex}"
            asyncio.run(execute(postgres.url, f"CREATE DATABASE {name} TEMPLATE template_mecapy"))
            return stack.enter_context(ground(named(postgres.url, name), valkey, uid))

        yield opened


@pytest.fixture(scope="session", params=["root", "unprivileged"])
def here(request: pytest.FixtureRequest, grounds: Callable[[int], Ground]) -> Ground:
    if sys.platform != "linux":
        pytest.skip("nothing confines a child here")
    if os.geteuid() != 0:
        pytest.skip("only root can start a worker of its own and of another user")
    return grounds(0 if request.param == "root" else NOBODY)


@pytest.fixture(scope="session")
def targets(here: Ground) -> Iterator[dict[str, Any]]:
    """All there is to reach, really there: an unconfined process reaches every one of them."""
    with (
        socket.socket(socket.AF_UNIX) as unix,
        socket.socket(socket.AF_UNIX) as abstract,
        socket.socket(socket.AF_UNIX, 2) as datagram,
    ):
        at = {
            "unix": str(here.folder / "unix"),
            "abstract": f"mecapy-{os.getpid()}",
            "datagram": str(here.folder / "datagram"),
        }
        for name, opened in (("unix", unix), ("abstract", abstract), ("datagram", datagram)):
            opened.bind("\0" + at[name] if name == "abstract" else at[name])
        for path in (at["unix"], at["datagram"]):
            Path(path).chmod(0o777)
        unix.listen(64)
        abstract.listen(64)
        pid = here.neighbour_pid()
        theirs = here.folder_of(pid)
        pids = {
            "worker": here.worker.pid,
            "zygote": here.zygote.pid,
            "neighbour": pid,
            "theirs": str(theirs),
        }
        ports = {
            "store": here.ports[0],
            "redis": here.ports[1],
            "gateway": int(here.gateway.url.rpartition(":")[2]),
        }
        places = {"blobs": str(here.folder / "blobs"), "shared": str(theirs.parents[2] / "shared")}
        yield at | pids | ports | places
        for path in (at["unix"], at["datagram"]):
            Path(path).unlink()


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as provider:
        yield provider


@pytest.fixture
def settings(
    provider: Provider, database_url: str, redis_url: str, tmp_path: Path
) -> dict[str, Any]:
    """For `Settings(**settings)`: a gateway with that issuer and a token of its own."""
    return {
        "database_url": database_url, "redis_url": redis_url,
        "blob_url": f"file://{tmp_path}/blobs", "token": TOKEN, "oidc_issuer": provider.issuer,
    }  # fmt: skip


@pytest.fixture
def oidc_gateway(settings: dict[str, Any]) -> Iterator[Any]:
    from mecapy_backend.shared.settings import Settings

    with served(Settings(**settings)) as running:
        yield running


@pytest.fixture
def http(oidc_gateway: Any) -> Iterator[httpx.Client]:
    """A client of that gateway, without a token."""
    with httpx.Client(base_url=oidc_gateway.url, timeout=120) as client:
        yield client


@pytest.fixture
def visitor(gateway: Any) -> Iterator[Visitor]:
    """Logged in as the user of the gateway's token."""
    visitor = Visitor(gateway)
    with visitor.http:
        assert visitor.log_in(gateway.token).status_code == 303
        yield visitor


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty configuration directory, no keyring, and nothing of MecaPy in the environment."""
    for name in ("MECAPY_URL", "MECAPY_TOKEN", "MECAPY_NONINTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    return tmp_path / "config" / "mecapy"
