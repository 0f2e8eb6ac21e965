"""How a cell and a client ask for a machine, and what their user reads of it."""

from __future__ import annotations

import dataclasses

import pytest

from mecapy_backend.queue import keys
from mecapy_jupyter import wire
from mecapy_jupyter.block.line import parts
from mecapy_jupyter.block.state import BlockState, advance
from mecapy_jupyter.cells.magic_options import parser
from mecapy_jupyter.client.call_options import CallOptions
from mecapy_jupyter.shared.errors import ConfigError
from mecapy_jupyter.wire import ANY_GPU, Resources

from .test_resources import WHY


@pytest.mark.parametrize(
    ("line", "resources"),
    [
        ("--memory 16GB --cpus 4", Resources(4, 16 * 10**9)),
        ("--gpu", Resources(gpu=ANY_GPU)),
        ("--gpu L4 --machine big", Resources(gpu="L4", machine="big")),
    ],
)
def test_options_of_the_magic(line: str, resources: Resources) -> None:
    """As a shell command writes them."""
    given = parser().parse_args(line.split())
    assert Resources(given.cpus, given.memory, given.gpu, given.machine) == resources


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("--memory lots", "'lots' is not a size; write 16GB, 512MB or 1.5GiB"),
        ("--cpus many", "'many' is not a number of processors; write 4"),
        ("--cpus 0", "'0' is not a number of processors"),
    ],
)
def test_wrong_options(line: str, says: str) -> None:
    """A sentence that says what to write."""
    with pytest.raises(ConfigError) as wrong:
        parser().parse_args(line.split())
    assert says in str(wrong.value)


def test_options_of_a_client() -> None:
    """The same in Python; what is none is a ValueError at once."""
    asked = CallOptions().changed({"memory": "16GB", "gpu": True, "cpus": 4})
    assert asked.request("1", "f", ()).resources == Resources(4.0, 16 * 10**9, ANY_GPU)
    assert CallOptions().request("1", "f", ()).resources is None
    with pytest.raises(ValueError, match="'lots' is not a size"):
        CallOptions(memory="lots")


def test_lanes_of_a_class() -> None:
    """The pool's lanes have the names that they had; another class's are nobody else's."""
    assert keys.lanes("3.12", short=False) == ("mecapy:queue", "mecapy:queue:3.12")
    assert keys.lanes("3.12", short=True, machine_class="large") == (
        "mecapy:queue:short:class:large",
        "mecapy:queue:short:class:large:3.12",
    )


def test_the_block_says_why() -> None:
    """While the task waits, in the line of the block; and when it runs again elsewhere."""
    queued = wire.Event.of(wire.QueuedEvent(1, task_id="t", why_there=WHY))
    state = advance(BlockState(), queued, 0.0)
    assert WHY in [piece.text for piece in parts(state, 1.0)]
    later = advance(state, wire.Event.of(wire.QueuedEvent(1)), 1.0)
    assert dataclasses.replace(later, position=0).why_there == WHY
    expected = advance(state, wire.Event.of(wire.QueuedEvent(estimate="~4 min · pool")), 1.0)
    assert "~4 min · pool" in [piece.text for piece in parts(expected, 1.0)]
    started = wire.Event.of(wire.StartedEvent("w", 2, why_there="out of memory → large"))
    again = advance(state, started, 2.0)
    assert "out of memory → large" in [piece.text for piece in parts(again, 3.0)]
