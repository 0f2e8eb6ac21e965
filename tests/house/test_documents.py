"""Every setting and every error is documented,
and the README promises only what the Makefile has.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any, cast

import pytest

from mecapy_backend.shared.settings import Settings
from mecapy_jupyter.shared import errors

from . import what_travels
from .tracked import ROOT, findings, tracked

SETTING = re.compile(r"MECAPY_[A-Z0-9]+(?:_[A-Z0-9]+)*\b(?!_)")
PLACEHOLDERS = {"MECAPY_X_Y"}
PACKAGES = ("mecapy_jupyter", "backend/mecapy_backend", "worker/mecapy_worker")


def text(name: str) -> str:
    return (ROOT / name).read_text()


def settings_in_code() -> set[str]:
    """The fields of Settings, and every name of that form in the code of the three packages."""
    named = {f"MECAPY_{field.upper()}" for field in Settings.model_fields}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            named |= set(SETTING.findall(path.read_text()))
    return named - PLACEHOLDERS


def test_every_setting_is_in_the_operating_manual() -> None:
    """A setting the code knows stands in docs/operating.md, and one that stands there is known to
    the code.
    """
    documented = set(SETTING.findall(text("docs/operating.md")))
    assert documented == settings_in_code()


def test_documented_defaults_are_the_defaults() -> None:
    """The settings of docs/operating.md stand there with what Settings() uses."""
    part = text("docs/operating.md").split("**For gateway and worker")[1]
    rows = dict(re.findall(r"`MECAPY_(\w+)=([^`]*)`", part))
    wrong: list[str] = []
    for name, field in Settings.model_fields.items():
        default: Any = field.default
        shown = default.get_secret_value() if hasattr(default, "get_secret_value") else default
        if isinstance(shown, tuple):
            shown = ",".join(cast("tuple[str, ...]", shown))
        if rows.get(name.upper()) != str(shown):
            wrong.append(f"{name}: documented {rows.get(name.upper())!r}, is {shown!r}")
    assert not wrong


def test_every_error_says_what_to_do() -> None:
    """Each error class has one line in docs/errors.md with something to do, and each line is a
    class.
    """
    classes = {
        name
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, errors.MecapyError)
    }
    rows = {
        name: to_do.strip()
        for name, to_do in re.findall(r"(?m)^- `(\w+)`:(.*)$", text("docs/errors.md"))
    }
    assert rows.keys() == classes
    assert all(rows.values())


def test_readme_promises_only_targets_of_the_makefile() -> None:
    """Each `make …` in the documents and in CI is a target."""
    targets = set(re.findall(r"(?m)^([a-z]+):", text("Makefile")))
    for document in ("README.md", "docs/operating.md", "docs/benchmarks.md", ".ci/run"):
        promised = set(re.findall(r"(?m)(?:`|^|/nothing_left.py )make ([a-z]+)", text(document)))
        assert promised <= targets, document


@pytest.mark.parametrize(
    "document",
    [path for path in tracked() if path.suffix == ".md"],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_links_lead_somewhere(document: Path) -> None:
    """Each relative link and picture of a document exists."""
    links = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", document.read_text())
    missing = [link for link in links if not (document.parent / link).exists()]
    assert not missing


def test_named_tests_exist() -> None:
    """Each test or file of tests that a document names exists."""
    named: set[str] = set()
    for path in tracked():
        if path.suffix == ".md":
            named |= set(re.findall(r"`(?:tests/\w+/)?(test_\w+(?:\.py)?)`", path.read_text()))
    files = [path for path in tracked() if path.name.startswith("test_")]
    there = {path.name for path in files}
    for path in files:
        there |= set(re.findall(r"def (test_\w+)", path.read_text()))
    assert named - there == set()
    assert len(named) > 10


def test_named_files_exist() -> None:
    """Each Python or Lua file that a document names exists, also in the folder that it names."""
    paths = [f"/{path.relative_to(ROOT)}" for path in tracked()]
    missing = [
        f"{document.name}: {name}"
        for document in tracked()
        if document.suffix == ".md"
        for name in re.findall(r"`([\w/]+\.(?:py|lua))`", document.read_text())
        if not any(path.endswith(f"/{name}") for path in paths)
    ]
    assert not missing


def test_nothing_of_one_machine_is_tracked() -> None:
    """No tracked file names a package index or a path of one machine."""
    assert list(findings()) == []


def test_constraints_name_versions_only() -> None:
    """constraints.txt pins exact versions and says nothing of where they come from."""
    lines = [
        line for line in text("constraints.txt").splitlines() if line and not line.startswith("#")
    ]
    strange = [line for line in lines if not re.fullmatch(r"[a-z0-9._-]+==[\w.+!]+( ; .+)?", line)]
    assert len(lines) > 50
    assert not strange


def test_the_lists_of_cells_are_those_of_the_tests() -> None:
    """docs/cells.md has an entry for every test marked `cell`, and no other."""
    document = what_travels.DOCUMENT.read_text(encoding="utf-8")
    assert document == what_travels.with_table(document)
