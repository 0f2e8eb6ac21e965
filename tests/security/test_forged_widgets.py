"""A worker that forges what its widgets say: it reaches the widgets of its own cell and no others,
and it cannot say more than a cell's widgets do.
"""

from __future__ import annotations

import base64
from types import SimpleNamespace
from typing import Any, cast

import ipywidgets
import pytest
from comm import get_comm_manager

from mecapy_jupyter import wire
from mecapy_jupyter.cells import shown_widgets
from mecapy_jupyter.cells.ipython_types import Shell
from mecapy_jupyter.cells.shown_widgets import ShownWidgets

NOTEBOOK = cast("Shell", SimpleNamespace(kernel=object()))
STATE: wire.JsonObject = {"_model_name": "IntSliderModel", "_model_module": "m", "value": 1}


def of_a_task(*inputs: object) -> ShownWidgets:
    return ShownWidgets(NOTEBOOK, lambda: "the cell", inputs)


def says(
    widgets: ShownWidgets, kind: wire.CommKind, comm_id: str, *buffers: str, **data: Any
) -> None:
    widgets.take(wire.CommEvent(kind, comm_id, data, buffers))


def opens(widgets: ShownWidgets, comm_id: str, **state: Any) -> None:
    says(widgets, "comm_open", comm_id, state=STATE | state)


def shown(widgets: ShownWidgets, comm_id: str) -> Any:
    """What the notebook has for a model."""
    view = widgets.view({wire.WIDGET_VIEW: {"model_id": comm_id}, "text/plain": "x"})
    spec = cast("dict[str, Any]", view[wire.WIDGET_VIEW])
    return get_comm_manager().comms[spec["model_id"]]


@pytest.fixture
def mine() -> Any:
    """A slider that another cell of the notebook has made."""
    slider: Any = ipywidgets.IntSlider(5)
    yield slider
    assert slider.value == 5 and slider.comm is not None
    slider.close()


def test_an_id_of_the_notebook_is_only_a_name(mine: Any) -> None:
    """A model that calls itself as one of the notebook's gets another id: the notebook's stays."""
    widgets, comm = of_a_task(), mine.comm
    opens(widgets, mine.model_id, value=99)
    assert get_comm_manager().comms[mine.model_id] is comm
    assert shown(widgets, mine.model_id) is not comm and not widgets.remarks()[:-1]


FOREIGN: dict[str, Any] = {
    "updates it": lambda w, m: says(w, "comm_msg", m, method="update", state={"value": 9}),
    "closes it": lambda w, m: says(w, "comm_close", m),
    "sends it a click": lambda w, m: says(
        w, "comm_msg", m, method="custom", content={"event": "click"}
    ),
    "shows it in a box": lambda w, m: opens(w, "a", children=[f"IPY_MODEL_{m}"]),
    "links it to its own": lambda w, m: opens(w, "a", target=[f"IPY_MODEL_{m}", "value"]),
    "names it in an update": lambda w, m: says(
        w, "comm_msg", "own", method="update", state={"x": {"y": [f"IPY_MODEL_{m}"]}}
    ),
    "names it in a message": lambda w, m: says(
        w, "comm_msg", "own", method="custom", content={"x": f"IPY_MODEL_{m}"}
    ),
    "displays it": lambda w, m: w.view({wire.WIDGET_VIEW: {"model_id": m}}),
}


@pytest.mark.parametrize("attack", FOREIGN)
def test_a_widget_of_another_cell_is_out_of_reach(mine: Any, attack: str) -> None:
    """Nothing of the message is done, and one line says that something was left out."""
    widgets = of_a_task()
    opens(widgets, "own")
    FOREIGN[attack](widgets, mine.model_id)
    assert widgets.remarks()[0] == (
        "a widget of the cell could not be shown: its message names a widget that is not this "
        "cell's"
    )
    assert "a" not in widgets._models  # pyright: ignore[reportPrivateUsage]


def test_an_input_is_set_and_not_closed(mine: Any) -> None:
    """A widget that was sent may be shown and set; it gets its value with the result, not from what
    its model is told; it cannot be closed or opened again.
    """
    widgets = of_a_task(mine)
    says(widgets, "comm_msg", mine.model_id, method="update", state={"value": 9})
    says(widgets, "comm_close", mine.model_id)
    assert shown(widgets, mine.model_id) is mine.comm and not widgets.remarks()
    opens(widgets, mine.model_id)
    assert widgets.remarks() == [
        "a widget of the cell could not be shown: its message creates a widget under an id that is "
        "taken or not allowed"
    ]


DEEP: Any = 1
for _ in range(300):
    DEEP = [DEEP]

ODD: dict[str, tuple[str, Any]] = {
    "too deep": ("nested too deeply", lambda w: opens(w, "a", value=DEEP)),
    "no state": ("has no state", lambda w: says(w, "comm_open", "a", state=7)),
    "no id": ("taken or not allowed", lambda w: opens(w, "")),
    "a long id": ("taken or not allowed", lambda w: opens(w, "a" * 1000)),
    "no base64": (
        "cannot be read",
        lambda w: says(w, "comm_open", "a", "%", state=STATE, buffer_paths=[["x"]]),
    ),
    "many buffers": (
        "too many binary parts",
        lambda w: says(w, "comm_open", "a", *["AA=="] * 2000, state=STATE, buffer_paths=[["x"]]),
    ),
    "no place": (
        "have no place",
        lambda w: says(w, "comm_open", "a", "AA==", state=STATE, buffer_paths=[["x", "y", 3]]),
    ),
    "a path of none": (
        "have no place",
        lambda w: says(w, "comm_open", "a", "AA==", state=STATE, buffer_paths=[[]]),
    ),
}


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_message_is_left_out(odd: str) -> None:
    """With its reason, and nothing is opened."""
    said, attack = ODD[odd]
    widgets, before = of_a_task(), dict(get_comm_manager().comms)
    attack(widgets)
    assert said in widgets.remarks()[0] and get_comm_manager().comms == before


def test_no_more_than_a_page_can_bear(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond that many models nothing is opened, and it is said once, with how often."""
    monkeypatch.setattr(shown_widgets, "MOST_MODELS", 3)
    widgets, before = of_a_task(), len(get_comm_manager().comms)
    for number in range(10):
        opens(widgets, str(number))
    assert len(get_comm_manager().comms) == before + 3
    assert widgets.remarks() == [
        "a widget of the cell could not be shown: more than 3 widgets in one cell (7 times)"
    ]
    widgets.anew()
    assert len(get_comm_manager().comms) == before


def test_an_output_takes_the_prints_of_its_own_cell_alone() -> None:
    """Whatever message id a worker names, it is that of the cell."""
    widgets = of_a_task()
    opens(widgets, "out", _model_name="OutputModel", msg_id="another cell")
    says(widgets, "comm_msg", "out", method="update", state={"msg_id": "another cell"})
    model = widgets._models["out"]  # pyright: ignore[reportPrivateUsage]
    assert model.get_state("msg_id") == {"msg_id": "the cell"}
    says(widgets, "comm_msg", "out", method="update", state={"msg_id": ""})
    assert model.get_state("msg_id") == {"msg_id": ""}


def test_binary_parts_come_to_their_places() -> None:
    """As bytes, where the paths say."""
    widgets, data = of_a_task(), base64.b64encode(b"\x89PNG").decode()
    paths = [["value"], ["more", 0, "x"]]
    state = STATE | {"more": [{}]}
    says(widgets, "comm_open", "a", data, data, state=state, buffer_paths=paths)
    model = widgets._models["a"]  # pyright: ignore[reportPrivateUsage]
    assert bytes(model.shown["value"]) == bytes(model.shown["more"][0]["x"]) == b"\x89PNG"


def test_a_terminal_shows_the_text_alone() -> None:
    """Where there is no page, nothing is opened and nothing is said."""
    widgets = ShownWidgets(cast("Shell", SimpleNamespace()), lambda: "", ())
    opens(widgets, "a")
    assert widgets.view({wire.WIDGET_VIEW: {"model_id": "a"}, "text/plain": "x"}) == {
        "text/plain": "x"
    }
    assert not widgets.remarks()
