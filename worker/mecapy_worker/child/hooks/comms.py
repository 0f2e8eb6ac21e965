"""Widgets of a task: messages of ipywidgets to a page become frames, and frames of a page reach the
widget (`child.page_messages`). The `comm` package allows replacing `create_comm`.
"""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mecapy_jupyter.travel.environment import import_hook
from mecapy_jupyter.travel.pickling import widget_reducers
from mecapy_jupyter.wire import WIDGET_TARGET
from mecapy_worker.child import page_messages
from mecapy_worker.child.output import Outgoing
from mecapy_worker.child.plain_json import plain_mapping
from mecapy_worker.shared.frames import FrameError
from mecapy_worker.shared.messages import CommMessage

_outgoing: Outgoing | None = None
_hooked = False
_said: set[str] = set()


def connect(outgoing: Outgoing) -> None:
    """Let widgets send to `outgoing` from here on."""
    global _outgoing, _hooked
    _outgoing = outgoing
    if not _hooked:
        _hooked = True
        import_hook.when_imported("comm", _hook)


class _KernelOfCell:
    """The cell whose prints an Output widget captures; any name works, because the kernel replaces
    it by the cell's.
    """

    @staticmethod
    def get_parent() -> dict[str, Any]:
        return {"header": {"msg_id": "cell"}}


def _hook() -> None:
    module: Any = sys.modules["comm"]
    base: Any = module.base_comm.BaseComm

    class TaskComm(base):
        kernel = _KernelOfCell()

        def on_msg(self, callback: Callable[[dict[str, Any]], None] | None) -> None:
            base.on_msg(self, callback)
            page_messages.hear(self.comm_id, callback)

        def publish_msg(
            self,
            msg_type: str,
            data: Mapping[object, object] | None = None,
            metadata: object = None,
            buffers: Sequence[Any] | None = None,
            **_: object,
        ) -> None:
            if self.target_name == WIDGET_TARGET:
                _send(
                    CommMessage(msg_type, self.comm_id, plain_mapping(data or {}), _text(buffers))
                )
            else:
                _refuse(str(self.target_name))

    def known(comm_id: str) -> Any:
        """A comm for a widget that the notebook has: it is open there."""
        comm: Any = TaskComm(target_name=WIDGET_TARGET, comm_id=comm_id, primary=False)
        module.get_comm_manager().register_comm(comm)
        return comm

    module.create_comm = TaskComm
    widget_reducers.comm_of_known = known


def _text(buffers: Sequence[Any] | None) -> tuple[str, ...]:
    return tuple(base64.b64encode(memoryview(each)).decode("ascii") for each in buffers or ())


def _send(message: CommMessage) -> None:
    if _outgoing is None:
        return
    try:
        _outgoing.send(message)
    except FrameError:
        _say_once(
            "a widget that holds more than 16 MB cannot be shown while the cell runs; give it less "
            "data, or make it in a cell without %%mecapy"
        )


def _refuse(target: str) -> None:
    _say_once(
        f"mecapy: {target!r} cannot reach the page from a worker, only widgets can; "
        "use it in a cell without %%mecapy"
    )


def _say_once(sentence: str) -> None:
    if sentence not in _said:
        _said.add(sentence)
        print(f"mecapy: {sentence}", file=sys.stderr)
