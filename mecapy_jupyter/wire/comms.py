"""Messages of a cell's widgets to the page: Jupyter's comm messages, as events.

The target is always a widget's (`jupyter.widget`), so it does not travel. A worker's model id means
nothing in the notebook; the replay assigns another.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal, get_args

from mecapy_jupyter.wire.json_fields import JsonObject
from mecapy_jupyter.wire.shape import Shape

COMM = "comm"
CommKind = Literal["comm_open", "comm_msg", "comm_close"]
COMM_KINDS: frozenset[str] = frozenset(get_args(CommKind))

WIDGET_TARGET = "jupyter.widget"
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
"""The MIME type of a display that shows a model, by its id."""

MODEL_PREFIX = "IPY_MODEL_"
"""Before a model's id where the state of another names it."""

UPDATES = frozenset({"update", "echo_update"})
"""Methods of a `comm_msg` with state: what the widget sets, and what it confirms to have taken."""

COMMS_BYTES = 1024 * 1024
"""The most that a page may say to a task's widgets at once."""


@dataclass(frozen=True, slots=True)
class CommEvent(Shape):
    """One message of the model `comm_id`. `data`: as the widgets' protocol has it; `buffers`: its
    binary parts, in base64.
    """

    type: ClassVar = COMM
    kind: CommKind = "comm_msg"
    comm_id: str = ""
    data: JsonObject = field(default_factory=JsonObject)
    buffers: tuple[str, ...] = ()
