"""Widgets made in a cell, and sent to one: what the page shows, what goes on here, what is said."""

from __future__ import annotations

from typing import Any

import pytest

from ..gate import Gate
from .conftest import CELL_S, Kernel, Ran

VIEW = "application/vnd.jupyter.widget-view+json"
SLIDER = "%%mecapy --quiet\nimport ipywidgets as w\n"


def opened(ran: Ran) -> dict[str, dict[str, Any]]:
    """The state of each model that was opened, by its id."""
    return {one["comm_id"]: one["data"]["state"] for one in ran.comms if one["kind"] == "comm_open"}


def models(ran: Ran) -> list[str]:
    return [state["_model_name"] for state in opened(ran).values()]


def updates(ran: Ran, name: str) -> list[Any]:
    """What the models were told of this trait."""
    states = [one["data"].get("state", {}) for one in ran.comms if one["kind"] == "comm_msg"]
    return [state[name] for state in states if name in state]


@pytest.mark.cell("travels", "Widgets held by a variable")
def test_a_slider_is_shown_and_is_the_variable(kernel: Kernel) -> None:
    """The page opens the models that the cell made, the display names the slider's, and the
    variable is that slider: what is set here moves it.
    """
    ran = kernel.run(SLIDER + "s = w.IntSlider(value=3, max=20)\nbox = w.VBox([s])\nbox")
    assert ran.ok and sorted(models(ran)) == [
        *("IntSliderModel", "LayoutModel", "LayoutModel", "SliderStyleModel", "VBoxModel"),
    ]
    shown = ran.results[0]["data"][VIEW]["model_id"]
    (slider,) = (i for i, state in opened(ran).items() if state["_model_name"] == "IntSliderModel")
    assert opened(ran)[slider]["value"] == 3 and opened(ran)[slider]["max"] == 20
    assert opened(ran)[shown]["children"] == [f"IPY_MODEL_{slider}"]
    assert "live in this kernel" in ran.stderr, ran.stderr
    ran = kernel.run("s.value = 5\nprint(box.children[0] is s, s.max)")
    assert ran.stdout == "True 20\n" and updates(ran, "value") == [5]
    assert ran.comms[0]["comm_id"] == slider


@pytest.mark.cell("said", "A widget without a variable: not live")
def test_what_is_bound_to_nothing_is_not_live(kernel: Kernel) -> None:
    """It is shown as it was made, and one line says so, with what to do."""
    ran = kernel.run(SLIDER + "display(w.IntSlider(4), w.HTML('x'))")
    assert ran.ok and "IntSliderModel" in models(ran)
    assert ran.stderr == (
        "mecapy: IntSlider: shown, but not live: moving it calls nothing. "
        "Bind it to a variable, or make it in a cell without %%mecapy\n"
    )
    assert not kernel.run(SLIDER + "display(w.HTML('x'), w.IntProgress(1))").stderr


@pytest.mark.cell("travels", "`interact`")
def test_interact_prints_into_its_output_and_goes_on_here(kernel: Kernel) -> None:
    """The first call's print stands in the Output widget; a slider that is moved calls the function
    in this kernel.
    """
    cell = (
        "%%mecapy --quiet\nfrom ipywidgets import interact\nseen = []\n"
        "@interact(x=(0, 10))\ndef f(x=4):\n    seen.append(x)\n    print('x is', x)"
    )
    ran = kernel.run(cell)
    assert ran.ok and {"IntSliderModel", "OutputModel"} <= set(models(ran))
    assert ran.stdout == "x is 4\n"
    began, ended = updates(ran, "msg_id")
    assert began and began != "cell" and not ended
    assert "its callbacks run here" in ran.stderr
    ran = kernel.run("f.widget.children[0].value = 7\nprint(seen)")
    assert ran.stdout == "x is 7\n[4, 7]\n", ran


@pytest.mark.cell("travels", "Progress bars")
def test_a_bar_moves_while_the_cell_runs(kernel: Kernel, gate: Gate) -> None:
    """The page hears where it is before the cell's end, which waits for that."""
    code = (
        "%%mecapy --quiet\nimport ipywidgets as w\nbar = w.IntProgress(max=9)\ndisplay(bar)\n"
        f"bar.value = 6\n{gate.wait}bar.value = 9\n"
    )
    seen: list[int] = []

    def hook(message: dict[str, Any]) -> None:
        state = message["content"].get("data", {}).get("state", {})
        if message["header"]["msg_type"] == "comm_msg" and "value" in state:
            seen.append(state["value"])
            gate.open()

    kernel.client.execute_interactive(code, timeout=CELL_S, output_hook=hook, allow_stdin=False)
    assert seen == [6, 9]
    ran = kernel.run("%%mecapy --quiet\nbar.value -= 1")
    assert updates(ran, "value") == [8] and kernel.value("bar.value") == "8"


@pytest.mark.cell("travels", "`with Output()`")
def test_an_output_takes_prints_and_errors(kernel: Kernel) -> None:
    """`with Output()` keeps an error to itself: it is shown, and the cell goes on."""
    ran = kernel.run(
        SLIDER + "out = w.Output()\nwith out:\n    print('in')\n    1 / 0\nprint('on')"
    )
    assert ran.ok and ran.stdout == "in\non\n" and ran.error == "ZeroDivisionError"
    assert ran.order.index("error") < len(ran.order) - 1 - ran.order[::-1].index("comm_msg")
    ran = kernel.run("%%mecapy --quiet\nwith out:\n    print('again')")
    assert ran.stdout == "again\n" and len(updates(ran, "msg_id")) == 2


def test_an_error_that_was_shown_is_no_failure(kernel: Kernel) -> None:
    """`showtraceback` in a cell shows it, as at home, and what failed before stays what failed."""
    shows = "try: 1 / 0\nexcept ZeroDivisionError: get_ipython().showtraceback()\n"
    ran = kernel.run(f"%%mecapy --quiet\n{shows}a = 1")
    assert ran.ok and ran.error == "ZeroDivisionError" and kernel.value("a") == "1"
    ran = kernel.run(f"%%mecapy --quiet\n{shows}[][1]")
    assert not ran.ok and [one["ename"] for one in ran.errors] == [
        "ZeroDivisionError",
        "IndexError",
    ]


@pytest.mark.cell("travels", "The notebook's widgets, with observers")
def test_a_widget_of_the_notebook_is_read_and_set_there(kernel: Kernel) -> None:
    """Its value arrives, also through a function and inside a box; what the cell sets comes home,
    the page hears it, and who observes it has heard it once.
    """
    kernel.run(
        "import ipywidgets as w\ns = w.IntSlider(3); t = w.Text('a')\nbox = w.HBox([s, t])\n"
        "seen = []\ns.observe(lambda change: seen.append(change['new']), names='value')\n"
        "def read(): return box.children[0].value"
    )
    ran = kernel.run(
        "%%mecapy --quiet\ny = read(), s is box.children[0]\ns.value = 9\nt.value += 'b'"
    )
    assert ran.ok and not opened(ran), ran.text
    assert updates(ran, "value") == [9, "ab"]
    assert kernel.value("(y, s.value, t.value, seen)") == "((3, True), 9, 'ab', [9])"
    kernel.run("s.value = 2")
    assert kernel.value("(seen, s is box.children[0])") == "([9, 2], True)"
    ran = kernel.run("%%mecapy --quiet\nbox")
    assert VIEW in ran.results[0]["data"] and not ran.stderr, ran


def test_tqdm_of_a_notebook_is_a_widget(kernel: Kernel) -> None:
    """Its bar moves in the page, and prints nothing."""
    cell = "%%mecapy --quiet\nfrom tqdm.{} import tqdm\nfor n in tqdm(range(5), desc='five'): pass"
    for flavour in ("notebook", "auto"):
        ran = kernel.run(cell.format(flavour))
        assert ran.ok and not ran.stdout and not ran.stderr, (flavour, ran.stderr)
        assert "FloatProgressModel" in models(ran) and VIEW in ran.displays[0]["data"]
        assert updates(ran, "value")[-3:].count(5.0) == 1, updates(ran, "value")


def test_a_task_shown_again_has_widgets_of_its_own(kernel: Kernel) -> None:
    """`%mecapy attach` opens the models anew, under other ids; the variable is of the newest."""
    cell = SLIDER + "s = w.IntSlider(3)\ns"
    first = kernel.run(cell)
    again = kernel.run("%mecapy attach")
    assert models(first) == models(again) and not opened(first).keys() & opened(again).keys()
    kernel.run("s.value = 8")
    assert kernel.value("(s.value, type(s).__name__)") == "(8, 'IntSlider')"


def test_a_background_cell_has_widgets(kernel: Kernel) -> None:
    """They are opened from its thread, and come home with the rest."""
    ran = kernel.run(
        "%%mecapy --bg --quiet --as job\nimport ipywidgets as w\ns = w.IntSlider(6)\ndisplay(s)"
    )
    assert ran.ok
    ran = kernel.run("job.result()\nprint(s.value)\ns.value = 7")
    assert ran.stdout.endswith("6\n"), ran
    assert updates(ran, "value")[-1] == 7


def say(kernel: Kernel, comm_id: str, data: dict[str, Any], subshell: str | None = None) -> None:
    """What a page says to a model; `subshell`: where the kernel shall hear it."""
    message = kernel.client.session.msg("comm_msg", {"comm_id": comm_id, "data": data})
    if subshell:
        message["header"]["subshell_id"] = subshell
    kernel.client.shell_channel.send(message)


def subshell_of(kernel: Kernel) -> str:
    """A new one, as JupyterLab opens for its widgets."""
    control = kernel.client.control_channel
    control.send(kernel.client.session.msg("create_subshell_request", {}))
    while (reply := control.get_msg(timeout=CELL_S))["msg_type"] != "create_subshell_reply":
        pass
    return reply["content"]["subshell_id"]


LOOP = (
    "import ipywidgets as w, time\nload, stop, seen = w.IntSlider(3), w.Button(), []\n"
    "load.observe(lambda change: seen.append(change['new']), names='value')\n"
    "stop.on_click(lambda _: seen.append('stop'))\ndisplay(load, stop)\n"
    "while 'stop' not in seen: time.sleep(0.01)\n"
)
MOVE = {"method": "update", "state": {"value": 7}, "buffer_paths": []}
CLICK = {"method": "custom", "content": {"event": "click"}}


class Mover:
    """A page whose user moves the slider as soon as it is there, and then presses the button."""

    def __init__(self, kernel: Kernel, subshell: str | None = None) -> None:
        self.kernel, self.subshell = kernel, subshell
        self.ids: dict[str, str] = {}
        self.echoed = False

    def hear(self, message: dict[str, Any]) -> None:
        content = message["content"]
        data = content.get("data", {})
        if message["header"]["msg_type"] == "comm_open":
            self.ids[data["state"]["_model_name"]] = content["comm_id"]
        elif VIEW in data and data[VIEW]["model_id"] == self.ids.get("ButtonModel"):
            say(self.kernel, self.ids["IntSliderModel"], MOVE, self.subshell)
            say(self.kernel, self.ids["ButtonModel"], CLICK, self.subshell)
        self.echoed |= data.get("method") == "echo_update" and data["state"] == {"value": 7}


@pytest.mark.cell("travels", "Sliders and buttons while the cell runs")
def test_a_running_cell_hears_the_page(kernel: Kernel) -> None:
    """A kernel that waits for its cell hears the page in a subshell, as JupyterLab asks for: the
    loop sees the slider move, and its Stop button ends it. The page is told that it arrived.
    """
    page = Mover(kernel, subshell_of(kernel))
    reply = kernel.client.execute_interactive(
        f"%%mecapy --quiet\n{LOOP}", timeout=CELL_S, output_hook=page.hear, allow_stdin=False
    )
    assert reply["content"]["status"] == "ok" and page.echoed
    assert kernel.value("(load.value, seen)") == "(7, [7, 'stop'])"
    say(kernel, page.ids["IntSliderModel"], {**MOVE, "state": {"value": 9}})
    assert kernel.value("(load.value, seen)") == "(9, [7, 'stop', 9])"


def test_a_widget_of_the_notebook_is_moved_on_the_pool(kernel: Kernel) -> None:
    """While a cell has it, what the page says goes to the cell, and comes home with it, once."""
    kernel.run(LOOP.partition("while")[0])
    made = kernel.value("(load.model_id, stop.model_id)")
    slider, button = eval(made)  # noqa: S307  two texts of ours
    subshell = subshell_of(kernel)

    def hear(message: dict[str, Any]) -> None:
        if message["content"].get("text") == "begun\n":
            say(kernel, slider, MOVE, subshell)
            say(kernel, button, CLICK, subshell)

    code = "%%mecapy --quiet\nimport time\nload, stop\nprint('begun')\n"
    reply = kernel.client.execute_interactive(
        code + "while 'stop' not in seen: time.sleep(0.01)",
        timeout=CELL_S,
        output_hook=hear,
        allow_stdin=False,
    )
    assert reply["content"]["status"] == "ok"
    assert kernel.value("(load.value, seen)") == "(7, [7, 'stop'])"


def test_a_background_cell_hears_the_page(kernel: Kernel) -> None:
    """Its kernel is free, and passes on what any page says. After its end a widget that no
    variable holds stands still: moved, it goes back to where the cell left it.
    """
    code = f"%%mecapy --bg --quiet --as job\n{LOOP}del load, stop"
    page = Mover(kernel)
    kernel.client.execute_interactive(
        code, timeout=CELL_S, output_hook=page.hear, allow_stdin=False
    )
    while not page.echoed:
        page.hear(kernel.client.get_iopub_msg(timeout=CELL_S))
    assert kernel.value("(job.vars['seen'])") == "[7, 'stop']"
    say(kernel, page.ids["IntSliderModel"], {**MOVE, "state": {"value": 9}})
    undone = {"method": "update", "state": {"value": 7}, "buffer_paths": []}
    while kernel.client.get_iopub_msg(timeout=CELL_S)["content"].get("data") != undone:
        pass
