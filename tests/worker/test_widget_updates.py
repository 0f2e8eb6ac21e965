"""A widget that a cell moves in a tight loop: few events, the last place right, order kept."""

from __future__ import annotations

from mecapy_jupyter import wire
from mecapy_worker.run.consumer import Consumer
from mecapy_worker.run.widget_updates import joined

from .conftest import Desk


def update(comm_id: str, **state: wire.Json) -> wire.JsonObject:
    data: wire.JsonObject = {"method": "update", "state": state, "buffer_paths": []}
    return wire.CommEvent("comm_msg", comm_id, data).as_json()


async def test_a_loop_of_ten_thousand_is_a_few_events(desk: Desk, worker: Consumer) -> None:
    """They count as output once, and the last value is the last."""
    code = (
        "import ipywidgets as w\nbar = w.IntProgress(max=10_000)\n"
        "for n in range(10_001): bar.value = n\nprint('mid')\nbar.value = 3"
    )
    seen = await desk.until(await desk.submit(code), *wire.FINAL)
    assert seen[-1].type == wire.COMPLETED, seen[-1].data
    told = [e for e in seen if e.type == wire.COMM and e.data["kind"] == "comm_msg"]
    values = [e.data["data"]["state"]["value"] for e in told]
    assert values == [*sorted(values[:-1]), 3] and 10_000 in values and len(values) < 2000
    kinds = [e.type for e in seen if e.type in (wire.COMM, wire.STDOUT)]
    assert kinds[-2:] == [wire.STDOUT, wire.COMM]


async def test_updates_join_where_nothing_stands_between() -> None:
    """Several bars in turn each have one; a print, or another message, parts them."""
    waiting = [(wire.COMM, update("a", value=1)), (wire.COMM, update("b", value=1))]
    assert joined(waiting, update("a", value=2, max=9))
    assert waiting[0][1] == update("a", value=2, max=9)
    assert not joined([*waiting, (wire.STDOUT, {"text": "x"})], update("a", value=3))
    closed = wire.CommEvent("comm_close", "b").as_json()
    assert not joined([*waiting, (wire.COMM, closed)], update("a", value=3))
    binary = wire.CommEvent("comm_msg", "a", {"method": "update", "state": {}}, ("AA==",))
    assert not joined(waiting, binary.as_json())


async def test_what_is_no_message_of_a_widget_ends_the_task(desk: Desk, worker: Consumer) -> None:
    """A child that forges the kind of one is stopped as for any frame that is none."""
    code = (
        "from mecapy_worker.shared.messages import CommMessage\n"
        "get_ipython().outgoing.send(CommMessage('shell_request', 'x'))\n"
        "import time; time.sleep(600)"
    )
    outcome = await desk.run(code)
    assert outcome.state == wire.FAILED and outcome.error and outcome.error.kind != "cell"
