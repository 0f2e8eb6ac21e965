"""Random graphs of tasks, and what a serial run of one gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st


@dataclass(frozen=True)
class Node:
    """Its value is its own number and those of its parents, mixed so that order matters."""

    number: int
    parents: tuple[int, ...]
    fails: bool

    def value(self, values: list[int]) -> int:
        return mixed(self.number, *values)


def mixed(number: int, *values: int) -> int:
    for value in values:
        number = (31 * number + value) % 1_000_003
    return number


@st.composite
def graphs(draw: Any, least: int, most: int) -> list[Node]:
    """Parents stand before their children."""
    nodes: list[Node] = []
    for at in range(draw(st.integers(least, most))):
        earlier = st.integers(0, at - 1) if at else st.nothing()
        parents = draw(st.lists(earlier, max_size=3, unique=True)) if at else []
        fails = draw(st.sampled_from([False] * 9 + [True]))
        nodes.append(Node(draw(st.integers(0, 1000)), tuple(parents), fails))
    return nodes


def serial(nodes: list[Node]) -> list[int | None]:
    """The value of each; None: it fails, or something above it does."""
    values: list[int | None] = []
    for node in nodes:
        above = [values[parent] for parent in node.parents]
        known = [value for value in above if value is not None]
        values.append(None if node.fails or len(known) < len(above) else node.value(known))
    return values
