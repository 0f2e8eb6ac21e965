"""MecaPy on an embedded stack of its own: trips are `%%mecapy` cells, the rest is `Client`. Runs in
the project's own environment.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from IPython.core.getipython import get_ipython

from mecapy_jupyter import Client
from notebooks.run_demo import stack

# A lambda travels by value: workers do not have this module.
_ADD: Callable[[Any], Any] = lambda there: there + 1  # noqa: E731


class MecaPy:
    cell = "%%mecapy\nx = 1 + 1"

    def __init__(self, client: Client) -> None:
        self._client = client

    def map(self, count: int) -> Iterable[int]:
        return self._client.map(_ADD, range(count))

    def echo(self, array: np.ndarray) -> np.ndarray:
        return self._client.submit(_ADD, array).result(100)


@contextmanager
def opened() -> Generator[MecaPy]:
    shell = get_ipython()
    assert shell
    with (
        tempfile.TemporaryDirectory(prefix="mecapy-", ignore_cleanup_errors=True) as folder,
        stack(Path(folder)) as at,
    ):
        os.environ |= {"MECAPY_URL": at.url, "MECAPY_TOKEN": at.token, "MECAPY_NONINTERACTIVE": "1"}
        shell.run_line_magic("load_ext", "mecapy_jupyter")
        with Client(at.url, at.token) as client:
            yield MecaPy(client)
