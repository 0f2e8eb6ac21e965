"""The table of a sweep as an xarray Dataset."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any


def of(xr: Any, frame: Any, inputs: list[str], about: Mapping[str, Any]) -> Any:
    """`xr`, here and below: the library, which the user may not have."""
    pandas: Any = importlib.import_module("pandas")
    axes = [list(pandas.unique(frame[name])) for name in inputs] if _hashable(frame, inputs) else []
    size = 1
    for axis in axes:
        size *= len(axis)
    grid = bool(axes) and size == len(frame) and not frame.duplicated(inputs).any()
    outputs = [name for name in frame.columns if name not in inputs]
    if not grid:
        variables = {name: _array(("point",), (len(frame),), frame[name]) for name in frame.columns}
        return xr.Dataset(variables, attrs=dict(about))
    order = frame.set_index(inputs).reindex(pandas.MultiIndex.from_product(axes, names=inputs))
    shape = tuple(map(len, axes))
    variables = {name: _array(tuple(inputs), shape, order[name]) for name in outputs}
    coordinates = dict(zip(inputs, axes, strict=True))
    return xr.Dataset(variables, coordinates, attrs=dict(about))


def _hashable(frame: Any, inputs: list[str]) -> bool:
    try:
        return bool(inputs) and not frame.duplicated(inputs).empty
    except TypeError:
        return False


def _array(dims: tuple[str, ...], shape: tuple[int, ...], series: Any) -> tuple[Any, Any]:
    np: Any = importlib.import_module("numpy")
    values: list[Any] = list(series)
    shapes = {value.shape for value in values if isinstance(value, np.ndarray)}
    if len(shapes) == 1 and (inner := shapes.pop()):
        empty = np.full(inner, np.nan)
        stacked = np.stack([v if isinstance(v, np.ndarray) else empty for v in values])
        more = tuple(f"{series.name}_{number}" for number in range(len(inner)))
        return dims + more, stacked.reshape(shape + inner)
    return dims, series.to_numpy().reshape(shape)
