"""`compared(cells)` runs cells here and on the session's real stack."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from .cells import Compared, compare


@pytest.fixture
def compared(kernel_environment: dict[str, str], tmp_path: Path) -> Callable[[str], Compared]:
    return partial(compare, environment=kernel_environment, folder=tmp_path)
