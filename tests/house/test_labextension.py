"""The sidebar's built file is committed, so that no Python developer needs Node: it is the one that
its source makes.
"""

from __future__ import annotations

import hashlib
import json
import re

from mecapy_jupyter.shared.version import __version__

from .tracked import ROOT

FOLDER = ROOT / "mecapy_jupyter" / "labextension"


def test_the_built_file_is_of_this_source() -> None:
    """Its first line has the digest of the source; another one needs `npm install && npm run build`
    in mecapy_jupyter/labextension.
    """
    package = ROOT / "mecapy_jupyter"
    sources = [*sorted((FOLDER / "src").iterdir()), package / "widget.js", package / "widget.css"]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    built = (FOLDER / "static" / "remoteEntry.js").read_text("utf-8")
    assert re.findall(r"source (\w+)", built.partition("\n")[0]) == [digest]
    assert len(built) < 60_000


def test_it_has_our_version() -> None:
    """JupyterLab lists it under the package's version."""
    assert json.loads((FOLDER / "package.json").read_text())["version"] == __version__
