"""The content of values: equal values are equal; what a function could tell apart is not."""

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import math
import pathlib
import re
import struct
import threading

import numpy as np
import pandas as pd
import pytest

from mecapy_jupyter.content_key import NoContentKey, value_digest

NAN_WITH_BITS = struct.unpack(">d", bytes.fromhex("7ff8000000000001"))[0]


class Material(enum.Enum):
    STEEL = 1
    ALUMINIUM = 2


@dataclasses.dataclass
class Beam:
    length: float
    name: str = "beam"


class Slotted:
    __slots__ = ("a",)

    def __init__(self, a):
        self.a = a


Point = collections.namedtuple("Point", "x y")
FRAME = pd.DataFrame({"a": [1, 2, 3], "b": ["x", "y", None]})

DIFFERENT = [
    None, ..., True, 1, 1.0, 1 + 0j, "1", b"1", bytearray(b"1"), 0, 0.0, -0.0, False, -1, 255, -256,
    2**70, -(2**70), 10**5000, math.inf, -math.inf, math.nan, NAN_WITH_BITS, "", "é", "e\u0301",
    (), [], {}, set(), frozenset(), (1,), [1], {1}, frozenset({1}), (1, 2), (2, 1), (1, (2,)),
    ((1,), 2), ["ab", "c"], ["a", "bc"], {"a": 1, "b": 2}, {"b": 2, "a": 1}, {"a": {"b": 2}},
    {1, 2}, {1, 2, 3}, {"a", ("b", 1)}, range(3), range(4), slice(1), int, float, len,
    np.float64(1), np.float32(1), np.int8(1), np.array(1.0), np.array([1.0]), np.array([[1.0]]),
    np.array([1.0, 2.0]), np.array([1.0, 2.5]), np.array([1.0, 2.0], dtype="f4"), np.array([]),
    np.array(["a"]), np.array([1], dtype="M8[s]"), np.array([1, "a"], dtype=object),
    np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]), np.arange(6).reshape(2, 3),
    np.arange(6).reshape(3, 2), np.ma.array([1, 2], mask=[0, 1]), np.ma.array([1, 2]), np.sin,
    Material.STEEL, Material.ALUMINIUM, Beam(1.0), Beam(2.0), Beam(1.0, "b"), Slotted(1),
    Slotted(2), Point(1, 2), Point(2, 1), decimal.Decimal(1), fractions.Fraction(1, 3),
    datetime.date(2020, 1, 1), datetime.timedelta(1), pathlib.Path("a"), re.compile("a"),
    re.compile("a", re.I), FRAME, FRAME.assign(a=[1, 2, 4]), FRAME.rename(columns={"a": "c"}),
    FRAME["a"], FRAME.index, collections.OrderedDict(a=1),
    collections.Counter("ab"), np.random.default_rng(1),
    np.random.default_rng(2),
]  # fmt: skip


def test_no_two_different_values_are_equal():
    """Types, signs, orders, shapes and single elements count."""
    seen = {}
    for value in DIFFERENT:
        digest = value_digest(value)
        assert digest not in seen, (value, seen.get(digest))
        seen[digest] = value


@pytest.mark.parametrize(
    "make",
    [
        lambda: [1, [2.5, "x"], {"k": (1, None)}],
        lambda: {f"element {n}" for n in range(200)},
        lambda: {(n, str(n)) for n in range(200)},
        lambda: np.arange(12.0).reshape(3, 4)[:, ::2],
        lambda: np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        lambda: FRAME.copy(),
        lambda: pd.Series([1.5, math.nan], name="s"),
        lambda: Beam(math.nan),
        lambda: Material.STEEL,
        lambda: np.random.default_rng(7),
        lambda: collections.defaultdict(list, a=[1]),
    ],
)
def test_a_value_made_again_is_equal(make):
    """Two objects of the same content have one digest."""
    assert value_digest(make()) == value_digest(make())


def test_a_view_counts_by_its_elements():
    """The memory around a view, and its order in memory, do not count."""
    whole = np.arange(12.0).reshape(3, 4)
    assert value_digest(whole[:, 1]) == value_digest(whole[:, 1].copy())
    assert value_digest(np.asfortranarray(whole)) == value_digest(whole)


def test_a_cycle_ends():
    """A list that holds itself is its number, and differs from one that does not."""
    ring: list = [1]
    ring.append(ring)
    again: list = [1]
    again.append(again)
    assert value_digest(ring) == value_digest(again) != value_digest([1, [1]])


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ({"mesh": [threading.Lock()]}, "argument → mesh → [0]"),
        ((n for n in ()), "generator"),
        (Beam(threading.Lock()), "lock"),
    ],
)
def test_what_has_no_content_is_refused_by_name(value, part):
    """The text names the part that cannot be named by its content."""
    with pytest.raises(NoContentKey, match=re.escape(part)):
        value_digest(value, "argument")


def test_a_list_nested_too_deeply_is_refused():
    """No RecursionError comes through."""
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(NoContentKey, match="nested too deeply"):
        value_digest(deep, "deep")
