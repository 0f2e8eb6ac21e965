"""How large variables are taken to be, whatever code of theirs is asked."""

from __future__ import annotations

import weakref
from concurrent.futures import Future
from typing import Any
from unittest.mock import MagicMock, Mock

import numpy as np
import pandas as pd
import pytest

from mecapy_jupyter.capture import diagnose, parts
from mecapy_jupyter.shared.errors import CannotSend

from .test_diagnose import Model, Slotted, Solver, cycle


@pytest.mark.parametrize(
    ("value", "size_bytes"),
    [
        (np.zeros((1000, 1000)), 8_000_000),
        ([np.zeros(1000)] * 50, 8_000),
        ([np.zeros(1000) for _ in range(5000)], 40_000_000),
        ({"mesh": Model(np.zeros(100_000))}, 800_000),
        (pd.DataFrame({"a": np.zeros(100_000)}), 800_000),
        ("x" * 100_000, 100_000),
        (Slotted(b"y" * 50_000), 50_000),
    ],
)
def test_sizes_are_about_right(value: Any, size_bytes: int) -> None:
    """Arrays count with their bytes, shared ones once, long lists by a sample."""
    assert size_bytes * 0.95 <= diagnose.size_estimate(value) <= size_bytes * 1.2 + 2_000


def test_sizes_end_on_cycles() -> None:
    """A structure that holds itself has a size."""
    assert 0 < diagnose.size_estimate(cycle()) < 10_000


def test_a_task_is_sent_by_its_id() -> None:
    """A task among the inputs is small, whatever its result and the notebook around it hold."""
    task: Future[Any] = Future()
    task.set_result(np.zeros(100_000))
    assert diagnose.size_estimate([task]) < 1000


class Raises:
    """Its own code raises wherever it is asked."""

    def __sizeof__(self) -> int:
        raise ValueError("no size")

    @property
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        raise ValueError("no class")

    def __len__(self) -> int:
        raise ValueError("no length")

    def __eq__(self, other: object) -> bool:
        raise ValueError("no comparison")

    __hash__ = None  # pyright: ignore[reportAssignmentType]


class LongList(list[Any]):
    def __len__(self) -> int:
        raise ValueError("no length")

    def __iter__(self) -> Any:
        raise ValueError("no items")


class LongDict(dict[str, Any]):
    def values(self) -> Any:
        raise ValueError("no values")

    def __len__(self) -> int:
        raise ValueError("no length")


def dead_proxy() -> Any:
    return weakref.proxy(Solver(None))


@pytest.mark.parametrize(
    "make",
    [
        Raises,
        lambda: Mock(spec=dict),
        lambda: Mock(spec=np.ndarray),
        lambda: MagicMock(spec=str),
        dead_proxy,
        lambda: LongList([1]),
        lambda: LongDict(a=1),
        lambda: 10**20_000,
    ],
    ids=["raises", "a dict", "an array", "a string", "dead", "list", "dict", "a number"],
)
def test_no_code_of_a_value_breaks_its_size(make: Any) -> None:
    """What a value's own `__sizeof__`, `__class__`, `__len__` raise, or a stand-in claims to be,
    costs the estimate that part and no more.
    """
    value = make()
    data = np.zeros(100_000)
    for whole in ([value, data], {"a": value, "data": data}, Model([data, value])):
        assert 800_000 <= diagnose.size_estimate(whole) < 830_000
    for _ in parts.parts(value):
        pass
    assert parts.path_to(data, {"first": value, "model": Model([data])}) == "model.solver[0]"


def test_a_large_variable_is_named() -> None:
    """What is too large to send is refused by name, before it is packed."""
    field = np.broadcast_to(np.zeros(1), (300_000_000,))  # 2.4 GB as an array, nothing in memory
    with pytest.raises(CannotSend, match=r"`field` is about 2\.4 GB"):
        diagnose.check_sizes({"x": 1, "field": field})
