"""A notebook and a folder of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from .notebook import Notebook


@pytest.fixture
def notebook() -> Notebook:
    return Notebook()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    place = tmp_path / "project"
    place.mkdir()
    return place
