"""Which modules a task of a test brings: its own, and not the hundreds of test files that the same
process has loaded. They belong to one package, so each task would carry and look through all.
"""

from __future__ import annotations

import types

import pytest

from mecapy_jupyter.travel.environment import user_modules


@pytest.fixture
def alone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other test files, and modules of other folders of tests, count as installed."""
    home = request.module.__name__
    package = home.rpartition(".")[0]
    is_own = user_modules.is_own

    def is_own_here(module: types.ModuleType) -> bool:
        folder, _, name = module.__name__.rpartition(".")
        if module.__name__ in ("tests", home) or folder.partition(".")[0] != "tests":
            return is_own(module)
        if name == "conftest" or name.startswith("test_"):
            return False
        above = f"{package}.".startswith(f"{module.__name__}.")
        beside = folder in ("tests", package) and not hasattr(module, "__path__")
        return (above or beside) and is_own(module)

    monkeypatch.setattr(user_modules, "is_own", is_own_here)
