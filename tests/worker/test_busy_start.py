"""A child that a waiting task gets at once, without a warm-up task, is set up as any other."""

from __future__ import annotations

import asyncio

import pytest

from mecapy_jupyter import wire
from mecapy_jupyter.travel.environment import prelude
from mecapy_jupyter.travel.pickling import payload
from mecapy_worker.pool.child_factory import USUAL, ChildFactory
from mecapy_worker.run.consumer import Consumer

from .conftest import Desk

LOOKS = """
import os, sys, tempfile
inside = os.path.dirname(os.getcwd())
found = [os.environ["LOAD"], "" in sys.path, os.path.relpath(tempfile.gettempdir(), inside),
         os.path.relpath(os.environ["HOME"], inside)]
found
"""


async def test_tasks_that_wait_find_their_folders(
    desk: Desk, worker: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a notebook that has set a variable of the environment: each has that variable, its folder
    on `sys.path`, and its own home and temporary folder.
    """
    start = ChildFactory.start_child
    monkeypatch.setattr(
        ChildFactory,
        "start_child",
        lambda self, module, *, warm=True, kind=USUAL: start(self, module, warm=False, kind=kind),
    )
    monkeypatch.setenv("LOAD", "3")
    values = {"n": 1}
    sent = payload.pack([values], {}, prelude=lambda own: prelude.make(own, values, ()))
    stream = wire.Payload(bytes(sent.stream))
    outcomes = await asyncio.gather(
        *(desk.run(LOOKS, payload=stream, outputs=("found",)) for _ in range(6))
    )
    memo = sent.memo
    for outcome in outcomes:
        assert outcome.state == "completed" and outcome.payload, outcome
        home = payload.unpack_result(outcome.payload.pickle, [], {}, memo)
        assert home["bound"]["found"] == ["3", True, "tmp", "home"]
