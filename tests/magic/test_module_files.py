"""Files of the user's modules that a cell writes and runs, and modules that it imports first."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Kernel

NEW = "E = 210\ndef k(): return 2\n"


def cell(name: str, code: str) -> str:
    """Writes the module's file anew, and then runs the code."""
    return (
        f"%%mecapy\nimport importlib\nwith open('{name}.py', 'w') as file: file.write({NEW!r})\n"
        f"import {name}\n{code}\nthere = {name}.E, {name}.k()"
    )


@pytest.mark.parametrize("name", ["law_reloaded", "law_first"])
def test_a_file_that_the_cell_writes_is_what_it_imports(
    kernel: Kernel, project: Path, name: str
) -> None:
    """Reloaded, or imported here for the first time; its values come home, and what stays is
    reported.
    """
    project.joinpath(f"{name}.py").write_text("E = 70\ndef k(): return 1\n")
    code = ""
    if name == "law_reloaded":
        kernel.run(f"import {name}")
        code = f"importlib.reload({name})"
    ran = kernel.run(cell(name, code))
    assert ran.ok and f"the code of {name} did not come home" in ran.stderr, ran
    assert kernel.value(f"there, {name}.E") == "((210, 2), 210)"


def test_a_loaded_module_is_not_read_again_by_its_import(kernel: Kernel, project: Path) -> None:
    """As here, where the file that the cell writes says nothing to `import`."""
    project.joinpath("law_loaded.py").write_text("E = 70\ndef k(): return 1\n")
    kernel.run("import law_loaded")
    ran = kernel.run(cell("law_loaded", ""))
    assert ran.ok and "code of" not in ran.stderr and kernel.value("there") == "(70, 1)", ran


def test_a_name_taken_from_a_module_that_the_cell_has_changed(
    kernel: Kernel, project: Path
) -> None:
    """The import of the taker here finds the module as it was before; `taken` is loaded here or
    not.
    """
    for name in ("taken", "loaded"):
        project.joinpath(f"{name}.py").write_text("K = 1\n")
        project.joinpath(f"user_of_{name}.py").write_text(f"from {name} import K\nother = [K]\n")
    kernel.run("import loaded")
    ran = kernel.run(
        "%%mecapy\nimport taken, loaded\ntaken.K = loaded.K = 5\n"
        "import user_of_taken, user_of_loaded\nthere = user_of_taken.K"
    )
    assert ran.ok and "which the cell has changed" not in ran.stderr, ran
    seen = "there, taken.K, user_of_taken.K, user_of_taken.other, loaded.K, user_of_loaded.K"
    assert kernel.value(seen) == "(5, 5, 5, [5], 5, 5)"
