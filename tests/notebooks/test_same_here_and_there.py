"""Cells in the style of well-known tutorials give the same here and on a worker: the promise of `%%mecapy`."""

from __future__ import annotations

from pathlib import Path

import pytest

from .compare import compare, table

NOTEBOOKS = sorted(Path(__file__).parent.glob("*.ipynb"))


@pytest.mark.timeout(240)
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
async def test_same_here_and_there(path: Path, kernel_environment: dict[str, str]) -> None:
    """Every cell prints, shows, draws and raises the same with `%%mecapy` in front as without."""
    rows = await compare(path, environment=kernel_environment)
    assert sum(row.remote for row in rows) >= 20
    assert not any(row.differences for row in rows), f"\n{table(rows)}"
