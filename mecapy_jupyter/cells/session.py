"""One notebook's connection to the pool, made on first use, and whether every cell goes there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mecapy_jupyter.cells import magic_options
from mecapy_jupyter.cells.every_cell import EveryCell
from mecapy_jupyter.cells.ipython_types import Shell

if TYPE_CHECKING:
    from mecapy_jupyter.client.client import Client


class Session:
    """The session of one shell. `every`: set while every cell goes to a worker."""

    def __init__(self, shell: Shell) -> None:
        self.shell = shell
        self._client: Client | None = None
        self.every: EveryCell | None = None

    def client(self) -> Client:
        """Created again when the configuration or the embedded stack's address has changed."""
        from mecapy_jupyter.client import config
        from mecapy_jupyter.client.client import Client

        endpoint = config.resolve(say=print)
        if self._client is None or self._client.endpoint != endpoint:
            self._client = Client(endpoint=endpoint)
        return self._client

    def every_cell(self, line: str | None) -> None:
        """`%mecapy on [options]`; None: off."""
        if line is not None:
            magic_options.parsed(line)
        if self.every is not None:
            self.every.off()
        self.every = EveryCell(self.shell, line) if line is not None else None
