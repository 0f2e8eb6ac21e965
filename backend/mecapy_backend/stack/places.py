"""Where a deployment keeps its tables and blobs: the services that the environment names, or an
embedded stack, whose PostgreSQL is started for as long as it is needed.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mecapy_backend.shared.settings import Settings
from mecapy_backend.stack import programs, services, up
from mecapy_backend.store.blobs.blob_store import configured, open_store
from mecapy_backend.store.blobs.blob_types import BlobStore
from mecapy_jupyter.shared.data_dir import DataDir, data_dir, running_state
from mecapy_jupyter.shared.errors import ConfigError, StackError
from mecapy_jupyter.shared.own_folder import own_folder


@dataclass(frozen=True, slots=True)
class Place:
    """`redis_url` "": a Redis that keeps nothing, and does not run now. `runs`: an embedded stack
    that does.
    """

    name: str
    database_url: str
    redis_url: str
    blobs: BlobStore
    runs: bool = False


@contextmanager
def opened(data: str | None) -> Generator[Place]:
    """`data`: an embedded stack's data directory. None: what MECAPY_DATABASE_URL names; the user's
    own stack where it is not set.
    """
    if data is None and os.environ.get("MECAPY_DATABASE_URL"):
        yield _services(Settings())
        return
    stack = data_dir(data)
    if running := _running(stack):
        yield running
        return
    own_folder(stack.data, setting="--data")
    with up.locked(stack) as is_ours:  # nobody starts it meanwhile
        if not is_ours:
            raise StackError(f"the stack on {stack.data} starts or stops just now: try again")
        with services.Postgres.start(stack.data) as postgres:
            yield Place(f"the stack on {stack.data}", postgres.url, "", _blobs(stack))


def running_database() -> str:
    """PostgreSQL of the user's own stack, if that runs and MECAPY_DATABASE_URL names no other; else
    "".
    """
    if os.environ.get("MECAPY_DATABASE_URL"):
        return ""
    running = _running(data_dir(None))
    return running.database_url if running else ""


def _services(settings: Settings) -> Place:
    if "MECAPY_BLOB_URL" not in os.environ:
        raise ConfigError(
            "MECAPY_DATABASE_URL is set and MECAPY_BLOB_URL is not: set it too, as for the gateway"
        )
    store = configured(settings)
    name = "the services that MECAPY_DATABASE_URL and MECAPY_BLOB_URL name"
    return Place(name, settings.database_url, settings.redis_url, store)


def _running(stack: DataDir) -> Place | None:
    state = running_state(stack)
    if state is None:
        return None
    if not state.ready:
        raise StackError(f"the stack on {stack.data} starts or stops just now: try again")
    folder = next(Path(one.address) for one in state.components if one.name == "postgres")
    url = programs.postgres_url(stack.data, folder.parent)
    return Place(f"the stack on {stack.data}", url, "", _blobs(stack), runs=True)


def _blobs(stack: DataDir) -> BlobStore:
    return open_store((stack.data / "blobs").as_uri())
