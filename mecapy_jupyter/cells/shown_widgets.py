"""Creates a task's widgets in the notebook as the worker opens them.

The worker is not trusted. A model gets an id of this kernel. A message may name only the task's own
models and the widgets that it was sent, and not those of other cells, whose callbacks run here.
Widgets beyond the bounds are left out, and one line reports that.
"""

from __future__ import annotations

import base64
import functools
import importlib
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any, cast

from mecapy_jupyter import wire
from mecapy_jupyter.cells.ipython_types import Shell
from mecapy_jupyter.cells.page_messages import PageMessages, Said
from mecapy_jupyter.client.task import Task
from mecapy_jupyter.hooks import ipykernel
from mecapy_jupyter.shared.units import listed
from mecapy_jupyter.travel.pickling import widget_reducers
from mecapy_jupyter.wire import Json, JsonObject

MOST_MODELS = 10_000
_DEEPEST, _MOST_BUFFERS, _ID_CHARS = 100, 1000, 128
_OUTPUT = "OutputModel"
_STILL = (
    *("ProgressModel", "BoxModel", "LayoutModel", "StyleModel", "HTMLModel", "HTMLMathModel"),
    *("LabelModel", _OUTPUT, "ImageModel", "ValidModel"),
)
"""Endings of model names that users do not move."""


class ForgedMessage(ValueError):
    """An invalid message of a task's widgets."""


class ShownWidgets:
    """The widgets of one task. `inputs`: what it was sent; `parent`: the message id of its cell,
    whose prints an Output widget captures.
    """

    def __init__(self, shell: Shell, parent: Callable[[], str], inputs: Iterable[object]) -> None:
        self.live = getattr(shell, "kernel", None) is not None
        self._parent = parent
        self._models: dict[str, Any] = {}
        self._sent: dict[str, Any] = {
            str(cast(Any, each)._model_id): each
            for each in inputs
            if widget_reducers.is_widget(each) and cast(Any, each).comm is not None
        }
        self._viewed, self._refused = set[str](), dict[str, int]()
        self._page: PageMessages | None = None
        self._moved = dict[str, Any]()  # widgets of the notebook, by the page
        self._heard = list[Any]()

    @contextmanager
    def speaking_to(self, task: Task) -> Generator[None]:
        """Inside the block, the page's messages to its widgets go to the task. Afterwards they go
        to this kernel again, or are undone.
        """
        self._page = page = PageMessages(task)
        for worker_id, widget in self._sent.items():
            widget.comm.on_msg(functools.partial(self._hear_sent, worker_id, widget))
            self._hear(widget.comm)
        try:
            yield
        finally:
            page.close()
            for widget in self._sent.values():
                if widget.comm is not None:
                    widget.comm.on_msg(widget._handle_msg)
            for comm in self._heard:
                ipykernel.heard_while_busy(comm, heard=False)
            for widget in self._moved.values():
                widget.send_state()

    def _hear(self, comm: Any) -> None:
        ipykernel.heard_while_busy(comm, heard=True)
        self._heard.append(comm)

    def _hear_sent(self, worker_id: str, widget: Any, message: dict[str, Any]) -> None:
        if message["content"]["data"].get("method") == "request_state":
            widget._handle_msg(message)
            return
        self._moved[worker_id] = widget
        self._say(worker_id, message["content"]["data"], message.get("buffers") or ())

    def _say(self, worker_id: str, data: dict[str, Any], buffers: Sequence[Any]) -> None:
        """A message of the page to a model."""
        model = self._known().get(worker_id)
        if model is None or self._page is None:
            return
        names = {str(each.model_id): one for one, each in self._known().items()}
        here = translated(data, lambda model_id: names.get(model_id, model_id))
        text: list[Json] = [base64.b64encode(each).decode() for each in buffers]
        moved = list(cast("dict[str, Any]", data.get("state") or {}))
        message: JsonObject = {"comm_id": worker_id, "data": here, "buffers": text}
        self._page.say(Said(message, lambda: model.send_state(moved) if moved else None))

    def take(self, event: wire.CommEvent) -> None:
        """Apply a message, or note why it is refused."""
        if not self.live:
            return
        try:
            self._take(event)
        except ForgedMessage as why:
            self._refused[str(why)] = self._refused.get(str(why), 0) + 1

    def _take(self, event: wire.CommEvent) -> None:
        if event.kind == "comm_open":
            self._open(event)
            return
        model: Any = self._model(event.comm_id)
        if event.kind == "comm_close":
            if event.comm_id in self._models:
                self._models.pop(event.comm_id).close()
        elif (method := event.data.get("method")) in wire.UPDATES:
            state = self._state(event, model)
            if event.comm_id in self._models:
                model.shown |= state
            # a widget of the notebook gets the value at the end; the page has it now
            _forward(model, str(method), state)
        else:
            data = cast("JsonObject", self._translated(event.data))
            model.send(data.get("content"), buffers=_buffers(event))

    def _open(self, event: wire.CommEvent) -> None:
        worker_id = event.comm_id
        if not worker_id or len(worker_id) > _ID_CHARS or worker_id in self._known():
            raise ForgedMessage(
                "its message creates a widget under an id that is taken or not allowed"
            )
        if len(self._models) >= MOST_MODELS:
            raise ForgedMessage(f"more than {MOST_MODELS:,} widgets in one cell")
        stand_in: Any = importlib.import_module("mecapy_jupyter.cells.stand_in")
        say = functools.partial(self._say, worker_id)
        model: Any = stand_in.StandIn(self._state(event, None), say)
        self._hear(model.comm)
        self._models[worker_id] = widget_reducers.stand_ins[worker_id] = model

    def _known(self) -> dict[str, Any]:
        return self._models | self._sent

    def _model(self, worker_id: str) -> Any:
        model: Any = self._models.get(worker_id) or self._sent.get(worker_id)
        if model is None or model.comm is None:
            raise ForgedMessage("its message names a widget that is not this cell's")
        return model

    def _state(self, event: wire.CommEvent, model: Any) -> dict[str, Any]:
        """The state in a message, with its binary parts in place."""
        data = cast("JsonObject", self._translated(event.data))
        state = data.get("state")
        if not isinstance(state, dict):
            raise ForgedMessage("its message has no state")
        if paths := data.get("buffer_paths"):
            _put_buffers(state, paths, _buffers(event))
        name = state.get("_model_name") if model is None else getattr(model, "_model_name", "")
        if name == _OUTPUT and state.get("msg_id"):
            state["msg_id"] = self._parent()
        return state

    def _translated(self, value: Json) -> Json:
        """The same with this kernel's names of the models."""
        return translated(value, lambda worker_id: str(self._model(worker_id).model_id))

    def view(self, data: JsonObject) -> JsonObject:
        """The data of a display, with this kernel's id of the widget; its text alone if the widget
        is not this task's.
        """
        spec = data.get(wire.WIDGET_VIEW)
        if not isinstance(spec, dict):
            return data
        worker_id = str(spec.get("model_id"))
        try:
            model: Any = self._model(worker_id)
        except ForgedMessage as why:
            if self.live:
                self._refused[str(why)] = self._refused.get(str(why), 0) + 1
            return {mime: item for mime, item in data.items() if mime != wire.WIDGET_VIEW}
        self._viewed.add(worker_id)
        here: JsonObject = {**spec, "model_id": str(model.model_id)}
        return {**data, wire.WIDGET_VIEW: here}

    def anew(self) -> None:
        """The task starts again: remove the widgets of the attempt before."""
        for model in self._models.values():
            model.close()
        self._models.clear()
        self._viewed.clear()

    def remarks(self) -> list[str]:
        """Remarks after the task has ended and its variables are here."""
        lines = [
            f"a widget of the cell could not be shown: {why}"
            + (f" ({times} times)" if times > 1 else "")
            for why, times in self._refused.items()
        ]
        if self._page is not None and self._page.lost:
            lines.append(f"a message of the page did not reach its widget: {self._page.lost}")
        moved = [model for model in self._models.values() if not model._model_name.endswith(_STILL)]
        if not self._viewed or not moved:
            return lines
        still = _kinds(model for model in moved if model.comm is not None)
        return [
            *lines,
            (
                f"{still}: shown, but not live: moving it calls nothing. Bind it to a "
                "variable, or make it in a cell without %%mecapy"
            )
            if still
            else (f"{_kinds(moved)}: live in this kernel; its callbacks run here, not on the pool"),
        ]


def translated(value: Any, name: Callable[[str], str], depth: int = 0) -> Any:
    """The same with other names of the models."""
    if depth > _DEEPEST:
        raise ForgedMessage("its state is nested too deeply")
    if isinstance(value, dict):
        items = cast("JsonObject", value).items()
        return {key: translated(item, name, depth + 1) for key, item in items}
    if isinstance(value, list):
        return [translated(item, name, depth + 1) for item in cast("list[Json]", value)]
    if isinstance(value, str) and value.startswith(wire.MODEL_PREFIX):
        return f"{wire.MODEL_PREFIX}{name(value.removeprefix(wire.MODEL_PREFIX))}"
    return value


def _kinds(models: Iterable[Any]) -> str:
    return listed(sorted({str(each._model_name).removesuffix("Model") for each in models}))


def _buffers(event: wire.CommEvent) -> list[bytes]:
    if len(event.buffers) > _MOST_BUFFERS:
        raise ForgedMessage("its message has too many binary parts")
    try:
        return [base64.b64decode(each, validate=True) for each in event.buffers]
    except ValueError:
        raise ForgedMessage("the binary parts of its message cannot be read") from None


def _put_buffers(state: JsonObject, paths: Json, buffers: list[bytes]) -> None:
    """Puts the binary parts in place, as ipywidgets does, without trusting the input."""
    try:
        for path, buffer in zip(cast("list[list[Any]]", paths), buffers, strict=True):
            holder: Any = state
            for step in path[:-1]:
                holder = holder[step]
            holder[path[-1]] = memoryview(buffer)
    except (TypeError, ValueError, LookupError):
        raise ForgedMessage("the binary parts of its message have no place in its state") from None


def _forward(model: Any, method: str, state: dict[str, Any]) -> None:
    """Sends it to the page alone, which ignores the echo of its own message."""
    library: Any = importlib.import_module("ipywidgets.widgets.widget")
    plain, paths, buffers = library._remove_buffers(state)
    model._send({"method": method, "state": plain, "buffer_paths": paths}, buffers=buffers)
