"""The stack's PostgreSQL and Valkey, stopped and started as an operator or a crash does it."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from mecapy_backend.migrations import upgrade
from mecapy_backend.stack.services import Postgres, Valkey


class Services:
    """`cluster`: files of a PostgreSQL that it begins with a copy of; new ones are made in seconds,
    for they are waited for until they are on the disk.
    """

    def __init__(self, folder: Path, cluster: Path | None) -> None:
        self._folder = folder
        if cluster:
            subprocess.run(["cp", "-a", str(cluster), str(folder / "pg")], check=True)
        self.postgres = Postgres.start(folder / "pg")
        self.valkey = Valkey.start(folder / "vk")
        self.sql_url = self.postgres.url
        upgrade(self.sql_url)

    def stop(self) -> None:
        self.valkey.stop()
        self.postgres.stop()

    def restart_postgres(self, how: signal.Signals = signal.SIGINT) -> None:
        self.stop_postgres(how)
        self.start_postgres()

    def stop_postgres(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: at once but in order. SIGQUIT: as if it had crashed."""
        os.kill(self.postgres.pid, how)
        self.postgres.stop()

    def start_postgres(self) -> None:
        self.postgres = Postgres.start(self._folder / "pg")
        assert self.postgres.url == self.sql_url

    def restart_valkey(self) -> None:
        """It keeps nothing on disk: all it had is lost."""
        self.stop_valkey()
        self.start_valkey()

    def start_valkey(self) -> None:
        self.valkey = Valkey.start(self._folder / "vk")

    def stop_valkey(self) -> None:
        os.kill(self.valkey.pid, signal.SIGKILL)
        self.valkey.stop()
