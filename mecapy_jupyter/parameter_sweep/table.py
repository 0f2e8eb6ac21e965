"""The table of a sweep: a DataFrame with a row for each point, and a way on to xarray."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pandas  # pyright: ignore[reportMissingTypeStubs]

from mecapy_jupyter import wire
from mecapy_jupyter.parameter_sweep import dataset
from mecapy_jupyter.parameter_sweep.chunk import PointResult
from mecapy_jupyter.parameter_sweep.design import Arguments

pd: Any = pandas
_OF_EACH = "seconds", "error", "task", "worker"
_ABOUT = "mecapy"
_NOTHING = PointResult()


class SweepTable(pandas.DataFrame):
    """A DataFrame whose `attrs["mecapy"]` says what it was computed with; they are kept by
    `to_parquet`.
    """

    @property
    def _constructor(self) -> type[SweepTable]:  # what pandas makes of a part of it
        return SweepTable

    def as_dataset(self) -> Any:
        """An xarray Dataset: a dimension for each input if the points are a grid, else one
        dimension `point`. Arrays of one shape have their dimensions after these.
        """
        try:
            xr: Any = importlib.import_module("xarray")
        except ImportError:
            raise ImportError(
                "as_dataset() makes an xarray Dataset, and xarray is not installed here: "
                "`%pip install xarray`"
            ) from None
        about: dict[str, Any] = self.attrs.get(_ABOUT, {})
        return dataset.of(xr, pd.DataFrame(self), list(about.get("inputs", ())), about)


def table(
    names: Sequence[str],
    points: Sequence[tuple[Arguments, PointResult | None]],
    about: wire.JsonObject,
) -> SweepTable:
    """Inputs; outputs, where a dict or a dataclass becomes columns; seconds, error, task and
    worker. A point without a result has none of these.
    """
    found = [result or _NOTHING for _, result in points]
    columns: dict[str, list[Any]] = {
        name: [arguments[at] if at < len(arguments) else None for arguments, _ in points]
        for at, name in enumerate(names)
    }
    for name, values in _outputs(found).items():
        columns[f"{name}_out" if name in columns or name in _OF_EACH else name] = values
    columns["seconds"] = [result.seconds for result in found]
    columns["error"] = [_text(result.error) for result in found]
    columns["task"] = [result.task_id or None for result in found]
    columns["worker"] = [result.worker or None for result in found]
    made: Any = SweepTable({name: _series(values) for name, values in columns.items()})
    made["seconds"] = made["seconds"].astype("float64")
    failed = sum(result.error is not None for result in found)
    ended = [result.ended for result in found if result.ended]
    made.attrs[_ABOUT] = about | {
        "points": len(found),
        "failed": failed,
        "finished": max(ended).isoformat() if ended else None,
    }
    return made


def _series(values: list[Any]) -> Any:
    """The column, with the type of its values if all that exist have one."""
    plain = all(value is None or isinstance(value, bool | int | float | str) for value in values)
    series = pd.Series(values, dtype=None if plain else object)
    return series if plain else series.infer_objects()


def _outputs(found: Sequence[PointResult]) -> dict[str, list[Any]]:
    parts = [None if _has_none(result) else _parts(result.value) for result in found]
    names = dict.fromkeys(name for part in parts if part is not None for name in part)
    return {name: [None if part is None else part.get(name) for part in parts] for name in names}


def _has_none(result: PointResult) -> bool:
    return result is _NOTHING or result.error is not None


def _parts(value: Any) -> Mapping[str, Any]:
    if isinstance(value, Mapping) and value:
        held = cast("Mapping[Any, Any]", value)
        if all(isinstance(name, str) for name in held):
            return held
    value = cast("Any", value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {part.name: getattr(value, part.name) for part in dataclasses.fields(value)}
    named_tuple: Any = getattr(value, "_asdict", None)
    if named_tuple is not None:
        return named_tuple()
    return {"result": value}


def _text(error: BaseException | None) -> str | None:
    if error is None:
        return None
    text = str(error)
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
