"""A client of the run's one stack."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mecapy_jupyter import Client


@pytest.fixture
def client(running_stack: Any, alone: None) -> Iterator[Client]:
    with Client(running_stack.url, running_stack.token) as opened:
        yield opened
