"""Finds where two values differ, for `%%mecapy --verify`. Walks both in parallel through their
pickled parts. Runs no user code except what pickling runs, and changes nothing.
"""

from __future__ import annotations

import importlib
import math
import reprlib
import sys
import types
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

ROUNDING = 1e-9
"""Numbers with a smaller relative difference than this differ by rounding only."""

_ATOMS = (int, str, bytes, bytearray, type(None), type(Ellipsis), type(NotImplemented), range)
_BY_NAME = (type, types.ModuleType, types.BuiltinFunctionType)

_text = reprlib.Repr()
_text.maxstring = _text.maxother = 60


@dataclass(frozen=True, slots=True)
class Difference:
    """`path`: as Python would write it (`model.parts[2].mass`); `here` and `there` as short texts.
    `rounding`: the relative difference of two numbers that are nearly the same; 0 for all else.
    """

    path: str
    here: str
    there: str
    rounding: float = 0.0


@dataclass(frozen=True, slots=True)
class Compared:
    """The differences, one per variable; `unknown`: what cannot be compared."""

    differences: tuple[Difference, ...]
    unknown: tuple[str, ...]


_Pair = tuple[str, Any, Any]


def compare(here: Mapping[str, Any], there: Mapping[str, Any]) -> Compared:
    """Compare two namespaces by name, in the order of `here`."""
    found, unknown = list[Difference](), list[str]()
    for name in [*here, *(name for name in there if name not in here)]:
        if name not in here or name not in there:
            ours, theirs = [_short(x[name]) if name in x else "not there" for x in (here, there)]
            found.append(Difference(name, ours, theirs))
            continue
        of_name = list(_walk(name, here[name], there[name], unknown))
        real = [each for each in of_name if not each.rounding]
        if of_name:
            found.append(real[0] if real else max(of_name, key=lambda each: each.rounding))
    return Compared(tuple(found), tuple(unknown))


def _walk(name: str, here: Any, there: Any, unknown: list[str]) -> Iterator[Difference]:
    """Every difference between two values, without recursion, because values may be deep."""
    waiting: list[_Pair] = [(name, here, there)]
    met, alive = set[tuple[int, int]](), list[object]()
    while waiting:
        path, a, b = waiting.pop()
        if a is b or (id(a), id(b)) in met:
            continue
        met.add((id(a), id(b)))
        alive += (a, b)  # parts that were created for the comparison stay alive, so ids stay unique
        try:
            parts = _parts(path, a, b)
        except Exception:
            unknown.append(path)
            continue
        if isinstance(parts, Difference):
            yield parts
        else:
            waiting += reversed(parts)


def _parts(path: str, a: Any, b: Any) -> list[_Pair] | Difference:
    """The pairs of parts of two values, or how the values differ themselves."""
    if not _same_type(cast("type[object]", type(a)), cast("type[object]", type(b))):
        return Difference(path, _typed(a), _typed(b))
    if isinstance(a, (float, complex)):
        return _numbers(path, a, b)
    if isinstance(a, _ATOMS) and type(a).__module__ == "builtins":
        return [] if a == b else Difference(path, _short(a), _short(b))
    if isinstance(a, _BY_NAME):
        same = getattr(a, "__qualname__", a.__name__) == getattr(b, "__qualname__", b.__name__)
        return [] if same else Difference(path, _short(a), _short(b))
    if type(a).__module__ == "numpy" and hasattr(a, "dtype"):
        return _arrays(path, a, b)
    if type(a) in (list, tuple, deque):
        return _items(path, a, b)
    if type(a) is dict:
        return _mappings(path, cast("dict[Any, Any]", a), b)
    if type(a) in (set, frozenset):
        return [] if a == b else Difference(path, _short(a), _short(b))
    if isinstance(a, types.FunctionType):
        return _functions(path, a, b)
    if type(a).__module__.startswith("matplotlib."):
        figures = [getattr(side, "figure", None) for side in (a, b)]
        return _picture(path, *figures) if all(figures) else []
    return _reduced(path, a, b)


def _same_type(a: type, b: type) -> bool:
    return a is b or (a.__module__, a.__qualname__) == (b.__module__, b.__qualname__)


def _numbers(path: str, a: Any, b: Any) -> list[_Pair] | Difference:
    if a == b or (a != a and b != b):
        return []
    apart = abs(a - b) / max(abs(a), abs(b))
    return Difference(path, repr(a), repr(b), apart if apart < ROUNDING else 0.0)


def _items(path: str, a: Sequence[Any], b: Sequence[Any]) -> list[_Pair] | Difference:
    if len(a) != len(b):
        return Difference(f"len({path})", str(len(a)), str(len(b)))
    return [(f"{path}[{n}]", x, y) for n, (x, y) in enumerate(zip(a, b, strict=True))]


def _mappings(path: str, a: dict[Any, Any], b: dict[Any, Any]) -> list[_Pair] | Difference:
    plain = all(isinstance(key, (str, int, float, bytes, tuple)) for key in (*a, *b))
    if plain and [*a] != [*b]:
        return Difference(f"the keys of {path}", _short([*a]), _short([*b]))
    if len(a) != len(b):
        return Difference(f"len({path})", str(len(a)), str(len(b)))
    both = zip(a.items(), b.items(), strict=True)
    return [
        pair
        for n, ((key, x), (other, y)) in enumerate(both)
        for pair in (
            (f"key {n} of {path}", key, other),
            (f"{path}[{_short(key)}]", x, y),
        )
    ]


def _arrays(path: str, a: Any, b: Any) -> list[_Pair] | Difference:
    numpy: Any = sys.modules["numpy"]
    if a.dtype != b.dtype or a.shape != b.shape:
        return Difference(path, f"{a.dtype} {a.shape}", f"{b.dtype} {b.shape}")
    if a.dtype.hasobject or a.dtype.names:
        return _items(path, a.ravel().tolist(), b.ravel().tolist())
    a, b = numpy.atleast_1d(numpy.asarray(a)), numpy.atleast_1d(numpy.asarray(b))
    differ = (a != b) & ~((a != a) & (b != b))
    if not differ.any():
        return []
    places = numpy.argwhere(differ)
    first = tuple(int(n) for n in places[0])
    at = f"{path}[{', '.join(map(str, first))}]" if a.size > 1 else path
    if a.dtype.kind in "fc":
        with numpy.errstate(all="ignore"):
            apart = abs(a - b)[differ] / numpy.maximum(abs(a), abs(b))[differ]
        most = float(apart.max())
        if math.isfinite(most) and most < ROUNDING:
            return Difference(at, repr(a[first].item()), repr(b[first].item()), most)
    more = f" (and {len(places) - 1:,} more)" if len(places) > 1 else ""
    return Difference(at, repr(a[first].item()), repr(b[first].item()) + more)


def _functions(path: str, a: types.FunctionType, b: types.FunctionType) -> list[_Pair] | Difference:
    if a.__code__.co_code != b.__code__.co_code:
        return Difference(path, f"{_short(a)} (other code)", _short(b))
    cells_a, cells_b = [[c.cell_contents for c in side.__closure__ or ()] for side in (a, b)]
    return [
        (f"the defaults of {path}", a.__defaults__, b.__defaults__),
        (f"the constants of {path}", _constants(a.__code__), _constants(b.__code__)),
        (f"the closure of {path}", cells_a, cells_b),
        (f"{path}.__dict__", a.__dict__, b.__dict__),
    ]


def _constants(code: types.CodeType) -> list[object]:
    return [each.co_name if isinstance(each, types.CodeType) else each for each in code.co_consts]


def _reduced(path: str, a: Any, b: Any) -> list[_Pair] | Difference:
    """Any other object, by its pickled parts. Raises if it has none."""
    apart_a, apart_b = _taken_apart(a), _taken_apart(b)
    if isinstance(apart_a, str) or isinstance(apart_b, str):
        return [] if apart_a == apart_b else Difference(path, _short(a), _short(b))
    pairs = [(path, x, y) for x, y in zip(apart_a, apart_b, strict=True)]
    if not isinstance(apart_a[2], dict) or not isinstance(apart_b[2], dict):
        return pairs
    names_a, names_b = cast("dict[str, Any]", apart_a[2]), cast("dict[str, Any]", apart_b[2])
    if missing := sorted(map(str, names_a.keys() ^ names_b.keys())):
        return Difference(f"vars({path})", _has(missing, names_a), _has(missing, names_b))
    pairs[2:3] = [(f"{path}.{name}", value, names_b[name]) for name, value in names_a.items()]
    return pairs


def _has(names: list[str], attributes: Mapping[str, Any]) -> str:
    return f"has {', '.join(name for name in names if name in attributes) or 'less'}"


def _picture(path: str, a: Any, b: Any) -> list[_Pair] | Difference:
    """matplotlib's figures, by what they show, because their parts refer to each other."""
    agg: Any = importlib.import_module("matplotlib.backends.backend_agg")
    pixels = [bytes(_drawn(agg, figure)) for figure in (a, b)]
    return [] if pixels[0] == pixels[1] else Difference(path, "one picture", "another")


def _drawn(agg: Any, figure: Any) -> Any:
    before = figure.canvas
    try:
        canvas = agg.FigureCanvasAgg(figure)
        canvas.draw()
        return canvas.buffer_rgba()
    finally:
        figure.set_canvas(before)


def _taken_apart(obj: Any) -> str | tuple[Any, Any, Any, list[Any], list[Any]]:
    reduced = obj.__reduce_ex__(4)
    if isinstance(reduced, str):
        return reduced
    make, args, state, items, pairs = (*reduced, None, None, None)[:5]
    state = dict[str, Any]() if state is None else state
    return make, args, state, list(items or ()), [list(pair) for pair in pairs or ()]


def _short(value: object) -> str:
    try:
        return _text.repr(value)
    except Exception:  # code of the value itself
        return f"a {type(value).__name__}"


def _typed(value: object) -> str:
    return f"{_short(value)} ({type(value).__name__})"
