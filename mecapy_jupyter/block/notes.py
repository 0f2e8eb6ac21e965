"""Notes of MecaPy beside a cell's output, one line each. In a notebook they are displays, because a
notebook shows stderr in red, like an error; elsewhere they go to stderr.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from mecapy_jupyter.shared.units import escaped

ABOUT = "mecapy"
"""The key in an output's metadata that marks it as MecaPy's and not the cell's: a "note", "place"
or "mark".
"""
# Inline, because saved notebooks keep no stylesheet. JupyterLab's (and nbconvert's) variables
# first, then VS Code's, then the page's own.
TEXT = "var(--jp-ui-font-color1, var(--vscode-foreground, inherit))"
QUIET = "var(--jp-ui-font-color2, var(--vscode-descriptionForeground, inherit))"
_FONT = "font:var(--jp-ui-font-size1, 13px)/1.6 var(--jp-ui-font-family, system-ui, sans-serif);"
NUMBERS = f"{_FONT}font-variant-numeric:tabular-nums;"


def say(sentence: str) -> None:
    """Show the note in the running cell."""
    shell: Any = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if getattr(shell, "kernel", None) is None:
        print(f"mecapy: {sentence}", file=sys.stderr)
    else:
        publish(shell.display_pub.publish, sentence)


def publish(publisher: Callable[..., None], sentence: str) -> None:
    text = f"mecapy: {sentence}"
    style = f"{_FONT}color:{QUIET};padding-left:5px;"
    html = f'<div aria-label="MecaPy note" style="{style}">{escaped(text)}</div>'
    publisher({"text/plain": text, "text/html": html}, {ABOUT: "note"})
