"""What waits for a library's import: the canary for how `import_hook` bends the import system."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from mecapy_jupyter.travel.environment import import_hook, module_importer, source_files


@pytest.fixture(autouse=True)
def as_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder on the path with one module; afterwards the import system is as it was."""
    (tmp_path / "waited_for.py").write_text("WHERE = 'the folder'\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    yield
    import_hook.forget()
    sys.modules.pop("waited_for", None)


def test_it_happens_once_when_the_import_is_over() -> None:
    """Not before, with the module whole, and the module keeps its own loader."""
    seen = list[str]()
    import_hook.when_imported(
        "waited_for", lambda: seen.append(vars(sys.modules["waited_for"])["WHERE"])
    )
    assert seen == []
    module = importlib.import_module("waited_for")
    importlib.import_module("waited_for")
    assert seen == ["the folder"]
    assert type(module.__loader__).__name__ == "SourceFileLoader"


def test_at_once_where_it_is_loaded() -> None:
    """A module that is there is not waited for."""
    seen = list[int]()
    import_hook.when_imported("sys", lambda: seen.append(1))
    assert seen == [1]


def test_a_module_from_memory_stays_before_a_file_of_its_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The text that the kernel executed wins over the file in the notebook's folder, waited for or
    not.
    """
    served = module_importer.served
    monkeypatch.setattr(served, "sources", dict(served.sources))
    module_importer.install(
        [source_files.ModuleSource("waited_for", False, "WHERE = 'memory'\n", "<waited_for>")]
    )
    import_hook.when_imported("waited_for", lambda: None)
    assert vars(importlib.import_module("waited_for"))["WHERE"] == "memory"
