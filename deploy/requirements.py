"""Prints what an image needs: `python3 deploy/requirements.py backend` the gateway's, which runs no
notebook and so goes without what a notebook alone needs (ipykernel brings jedi and debugpy).
"""

import sys
import tomllib
from pathlib import Path

NOTEBOOK = ("anywidget", "ipykernel", "ipywidgets")


def requirements(extra: str) -> list[str]:
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    own = [one for one in project["dependencies"] if not one.startswith(NOTEBOOK)]
    return own + [one for name in ("store", extra) for one in extras[name] if "mecapy" not in one]


if __name__ == "__main__":
    print("\n".join(requirements(sys.argv[1])))
