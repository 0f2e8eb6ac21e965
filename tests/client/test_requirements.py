"""Packages as a user names them."""

from __future__ import annotations

import pytest

from mecapy_jupyter import wire
from mecapy_jupyter.cells import magic_options
from mecapy_jupyter.client import requirements
from mecapy_jupyter.client.call_options import CallOptions
from mecapy_jupyter.shared import errors

SCRIPT = """# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "meshio<6",
#   "gmsh",
# ]
# ///
import meshio
"""


def test_with() -> None:
    """Commas separate packages, but not the bounds of a version or the extras of a package."""
    line = "--with meshio,gmsh>=4,<5,fipy[trilinos,petsc]==4.0"
    given = magic_options.parser().parse_args(magic_options.words(line.replace("<", "\\<")))
    assert given.packages == ("meshio", "gmsh>=4,<5", "fipy[trilinos,petsc]==4.0")


def test_no_requirement() -> None:
    """What is no package's name is refused before anything is sent, with an example."""
    with pytest.raises(errors.ConfigError, match=r"gmsh==4\.13"):
        magic_options.parser().parse_args(["--with", "==4"])
    with pytest.raises(ValueError, match="no requirement"):
        CallOptions(packages=["-r other.txt"])


def test_script_block() -> None:
    """A PEP 723 block names packages; a wrong one says so."""
    assert requirements.in_script(SCRIPT) == ("meshio<6", "gmsh")
    assert requirements.in_script("# just /// script\nx = 1") == ()
    with pytest.raises(errors.ConfigError, match="wrong"):
        requirements.in_script("# /// script\n# dependencies = 3\n# ///\n")


def test_the_most_particular_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last requirement of a package stands, however its name is written."""
    monkeypatch.setattr(requirements, "default", ("Mesh_IO", "numpy<2"))
    request = wire.TaskRequest("1", packages=("mesh.io==5",))
    assert requirements.added(request).packages == ("mesh.io==5", "numpy<2")
    assert CallOptions(packages=["meshio"]).request("1", "f", ()).packages == ("meshio",)
