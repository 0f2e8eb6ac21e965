"""The points of a sweep: a grid of axes, the rows of a table, or draws of a sampler."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_SINGLE: Any = (str, bytes, Mapping)
Arguments = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Design:
    """`points`: the arguments of each, by the order of `names`."""

    names: tuple[str, ...]
    points: list[Arguments]


def of(axes: Mapping[str, Any], design: Any = None, samples: int | None = None) -> Design:
    """The last axis changes fastest. `design`: a DataFrame, each row combined with all axes; or a
    sampler of `scipy.stats.qmc`, of which `samples` points are drawn between the bounds that the
    axes name. Raises ValueError or TypeError.
    """
    if samples is not None and not _is_sampler(design):
        raise ValueError("samples= says how many points a sampler draws: give one as design=")
    if design is None:
        return _checked(_grid(axes))
    if _is_sampler(design):
        return _checked(_drawn(design, axes, samples))
    if hasattr(design, "columns") and hasattr(design, "itertuples"):
        return _checked(_rows(design, axes))
    raise TypeError(
        f"design= takes a DataFrame or a sampler of scipy.stats.qmc, not a {type(design).__name__}"
    )


def _grid(axes: Mapping[str, Any]) -> Design:
    values = [_values(value) for value in axes.values()]
    return Design(tuple(axes), list(itertools.product(*values)))


def _values(value: Any) -> list[Any]:
    """One value for what is no sequence: a fixed argument. A text is one value, and so is an array
    without a dimension.
    """
    single = isinstance(value, _SINGLE) or getattr(value, "ndim", 1) == 0
    return [value] if single or not hasattr(value, "__iter__") else list(value)


def _rows(table: Any, axes: Mapping[str, Any]) -> Design:
    names = tuple(map(str, table.columns))
    if twice := sorted(set(names) & axes.keys()):
        raise ValueError(f"{twice[0]!r} is a column of design= and an axis: leave one out")
    grid = _grid(axes)
    columns = [list(table[column]) for column in table.columns]
    rows: list[Arguments] = list(zip(*columns, strict=True))
    return Design(names + grid.names, [row + more for row in rows for more in grid.points])


def _is_sampler(design: Any) -> bool:
    return hasattr(design, "random") and hasattr(design, "reset") and hasattr(design, "d")


def _drawn(sampler: Any, axes: Mapping[str, Any], samples: int | None) -> Design:
    """Points drawn from the sampler's beginning, so that the same sampler draws the same points
    again.
    """
    if samples is None:
        raise ValueError("a sampler needs samples=, the number of points")
    if len(axes) != sampler.d:
        raise ValueError(f"the sampler has {sampler.d} dimensions, and {len(axes)} axes are given")
    bounds: list[tuple[float, float]] = []
    for name, pair in axes.items():
        try:
            low, high = pair
        except (TypeError, ValueError):
            raise ValueError(
                f"with a sampler, an axis is its bounds, as in {name}=(0.0, 1.0)"
            ) from None
        bounds.append((low, high))
    sampler.reset()
    points = [
        tuple(low + (high - low) * float(at) for at, (low, high) in zip(row, bounds, strict=True))
        for row in sampler.random(samples)
    ]
    return Design(tuple(axes), points)


def _checked(made: Design) -> Design:
    if not made.names:
        raise ValueError("a sweep needs an axis, as in sweep(beam, L=[0.5, 1.0])")
    if not made.points:
        raise ValueError("a sweep needs a point: an axis or the design is empty")
    return made
