"""Values that another version of the client packed: refused, with what to do, and never misread.

The record beside this file was made by the version before, and says how.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from mecapy_jupyter import errors, wire
from mecapy_jupyter.results import bind
from mecapy_jupyter.travel.pickling import payload
from mecapy_worker.run.consumer import Consumer

from .conftest import Desk

RECORD: dict[str, str] = json.loads(
    (Path(__file__).parent / "packed_by_the_version_before.json").read_text()
)
INPUTS, RESULT = (base64.b64decode(RECORD[part]) for part in ("inputs", "result"))


async def test_a_cell_of_an_older_client_is_told_to_update(desk: Desk, worker: Consumer) -> None:
    """Nothing of the cell runs, and the error that its client raises has the command."""
    sent = wire.Payload(INPUTS)
    seen = await desk.until(await desk.submit("print(xs)", payload=sent), *wire.FINAL)
    assert "stdout" not in {event.type for event in seen}
    outcome = wire.Outcome.from_json(seen[-1].data)
    assert outcome.state == "failed" and outcome.error and outcome.error.kind == "inputs", outcome
    assert "an older version of mecapy_jupyter" in outcome.error.message
    assert "pip install -U mecapy_jupyter, restart the kernel" in outcome.error.message
    raised = bind.raised(outcome, bind.Home())
    assert type(raised) is errors.InputsNotOpened and "pip install -U" in str(raised)


async def test_what_needs_no_pickle_runs_for_any_version(desk: Desk, worker: Consumer) -> None:
    """Code with JSON inputs has nothing packed, and its result comes back."""
    outcome = await desk.run("xs.append(3)\nxs", inputs={"xs": [1, 2]})
    assert (outcome.state, outcome.result) == ("completed", [1, 2, 3]), outcome


async def test_a_result_of_an_older_worker_is_not_guessed_at() -> None:
    """A task that ran before an update: its result is refused with a sentence, its originals kept
    as they are.
    """
    xs = [1, 2]
    outcome = wire.Outcome(wire.COMPLETED, payload=wire.Payload(RESULT))
    with pytest.raises(errors.CannotReceive, match=r"an older version.*run the cell again"):
        bind.open_outcome(outcome, lambda _: bytearray(), {"xs": xs}, {2: xs})
    assert xs == [1, 2]


async def test_a_newer_form_is_named_as_that() -> None:
    """A stream with the head of a later form is not opened either."""
    packed = payload.pack([{"xs": [1]}], {})
    head, rest = packed.stream.split(b"\n", 1)
    later = b"mecapy:%d\n" % (int(head.removeprefix(b"mecapy:")) + 1) + rest
    with pytest.raises(errors.CannotReceive, match="a newer version of mecapy_jupyter"):
        payload.unpack(later, [], {}, on_prelude=lambda _: None)
