"""The live block as a widget: traits only. What it draws is in `widget.js`, how it looks in
`widget.css`, what it says in `block.state`.

No state and no decision lives here; `block.live` opens, feeds and closes it. Imported only when a
block is shown, never at load.
"""

from __future__ import annotations

import pathlib
from typing import Any

import anywidget
import traitlets

_HERE = pathlib.Path(__file__).parent


class BlockWidget(anywidget.AnyWidget):
    """`view`: see `block.state.view`. `kernel_id`: whom the Cancel button interrupts; empty: it
    sends the message `{"type": "cancel"}`. `listener`: whom the page speaks to while a cell runs
    (see `reach`), so that the task can be detached; empty: nobody.
    """

    _esm = _HERE / "widget.js"
    _css = _HERE / "widget.css"
    view: traitlets.Dict[str, Any] = traitlets.Dict().tag(sync=True)
    kernel_id = traitlets.Unicode("").tag(sync=True)
    listener = traitlets.Unicode("").tag(sync=True)
