"""Cells in the style of well-known tutorials give the same here and on a worker: the promise of
`%%mecapy`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from .compare import compare, table

CORE = "plots_and_tables"
NOTEBOOKS = [
    pytest.param(path, id=path.stem, marks=() if path.stem == CORE else pytest.mark.long)
    for path in sorted(Path(__file__).parent.glob("*.ipynb"))
]

KNOWN: dict[str, dict[int, str]] = {}
"""Cells of a notebook that are known to differ, by number, and why. One that agrees again fails the
test: the list only shrinks.
"""


@pytest.mark.parametrize("path", NOTEBOOKS)
async def test_same_here_and_there(path: Path, kernel_environment: dict[str, str]) -> None:
    """Every cell prints, shows, draws and raises the same with `%%mecapy` in front as without, but
    for the known ones.
    """
    rows = await compare(path, environment=kernel_environment)
    assert sum(row.remote for row in rows) >= 20
    assert {row.number for row in rows if row.differences} == KNOWN.get(path.stem, {}).keys(), (
        f"\n{table(rows)}"
    )
