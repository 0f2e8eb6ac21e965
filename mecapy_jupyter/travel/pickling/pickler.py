"""How a notebook's values are pickled: functions that find the other side's namespace, the user's
own modules, large buffers beside.

It asks `hints`, `reducers` and `arrayviews` for what pickle cannot, and `environment.modules` whose
a module is.
"""

from __future__ import annotations

import importlib
import io
import pickle
import sys
import threading
import types
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from typing import Any, cast

import cloudpickle

from mecapy_jupyter.travel.environment import pint_state, user_modules
from mecapy_jupyter.travel.pickling import (
    array_views,
    by_name_reducers,
    class_reducers,
    constants,
    hinted_names,
    reducers,
    type_hints,
)
from mecapy_jupyter.travel.pickling.singletons import Singletons

BUFFER_BYTES = 64 * 1024
"""Buffers from this size on travel beside the stream, each a blob of its own; smaller ones inside
it.
"""

MOST_BUFFERS = 999
"""So many can go to a child beside the stream; each is an open file there, and the stream may be
one, too.
"""

_MANY_BUFFERS, _LARGE_BYTES = 500, 1 << 20
"""With so many beside the stream, only large ones still go there."""

_opening = threading.local()


@contextmanager
def opening(namespace: dict[str, Any]) -> Generator[None]:
    """While it lasts, functions that are opened find themselves in this namespace."""
    _opening.namespace = namespace
    try:
        yield
    finally:
        _opening.namespace = None


class _Namespace:
    """Stands in a stream for the namespace cells run in, so that a notebook's functions find it on
    the other side.
    """

    def __reduce__(self) -> tuple[Callable[[], dict[str, Any]], tuple[()]]:
        return _namespace_here, ()


def _namespace_here() -> dict[str, Any]:
    return _opening.namespace


class Pickler(cloudpickle.Pickler):
    """Writes functions of `namespace` so that they find the other side's namespace, and notes the
    user's own modules it meets.

    `with_globals`: whether such a function brings along the globals it reads (on the way out; at
    home they are there). `on_own`: called with the name of each own module that something in the
    stream needs.
    """

    def __init__(
        self,
        file: io.BytesIO,
        namespace: dict[str, Any],
        *,
        with_globals: bool,
        on_own: Callable[[str], object],
    ) -> None:
        self.buffers: list[memoryview] = []
        self.dispatch_table = dict(self.dispatch_table)  # a ChainMap is slow, for each object
        super().__init__(file, protocol=5, buffer_callback=self._keep_buffer)
        self.globals_ref[id(namespace)] = _Namespace()
        self._namespace = namespace
        self._with_globals = with_globals
        self._on_own = on_own
        self._singletons = Singletons(self._is_own, sets=with_globals)
        self._seen_modules: dict[str, bool] = {}
        self._ordinary = set[type[Any]]()
        self.files = set[str]()
        """Where the functions it wrote were defined."""
        self.hints = set[str]()
        """The annotations of what it wrote that are text."""

    def _keep_buffer(self, buffer: pickle.PickleBuffer) -> bool:
        """True keeps a buffer inside the stream."""
        raw = buffer.raw()
        if raw.nbytes < (BUFFER_BYTES if len(self.buffers) < _MANY_BUFFERS else _LARGE_BYTES):
            return True
        self.buffers.append(raw)
        return False

    def reducer_override(self, obj: Any) -> Any:
        if type(obj) in self._ordinary:
            return NotImplemented
        kind = cast("type[Any]", type(obj))
        taken = self._overridden(kind, obj)
        some = self._singletons.among(kind)
        if taken is NotImplemented and not some and reducers.is_ordinary(kind):
            self._ordinary.add(kind)
        return taken

    def _overridden(self, kind: type[Any], obj: Any) -> Any:
        if issubclass(kind, types.ModuleType):
            if self._is_own(obj.__name__):
                return importlib.import_module, (obj.__name__,)
        elif issubclass(kind, type):
            self._is_own(getattr(obj, "__module__", None) or "")
            if (of_registry := pint_state.of_registry(obj)) is not None:
                return of_registry
            as_reduced = super().reducer_override(obj)
            if not isinstance(as_reduced, tuple):
                return as_reduced
            self.hints.update(hinted_names.texts(obj))
            return class_reducers.as_it_is(obj, as_reduced)
        elif kind is types.FunctionType:
            self._is_own(getattr(obj, "__module__", None) or "")
        elif (
            (self._roots or array_views.repeats(obj))
            and id(obj) not in self._whole
            and (view := array_views.reduced(obj, self._roots)) is not None
        ):
            return view
        elif (reduced := type_hints.reduced(obj) or reducers.reduced(obj)) is not None:
            if reduced[0] is by_name_reducers.attribute:  # with the settings it holds, if plain
                return self._singletons.reduced(obj) or reduced
            return reduced
        elif issubclass(kind, reducers.CACHED):
            self._is_own(getattr(obj, "__module__", None) or "")
        elif (standing := self._singletons.reduced(obj)) is not None:
            return standing
        return super().reducer_override(obj)

    def keep_views_of(self, arrays: Iterable[Any], whole: Iterable[object] = ()) -> None:
        """Write a view of one of these arrays as a view, not as a copy: `v = a[2:5]` stays a window
        on `a`. `whole`: never as a view.
        """
        self._roots = array_views.roots(arrays)
        self._whole = frozenset(map(id, whole))

    _roots: Mapping[int, Any] = {}
    _whole: frozenset[int] = frozenset()
    known: Mapping[int, int] = {}
    constants: constants.NewNumbers | None = None

    def _dynamic_function_reduce(self, func: types.FunctionType) -> Any:
        reduced = super()._dynamic_function_reduce(func)  # pyright: ignore
        self.files.add(func.__code__.co_filename)
        self.hints.update(hinted_names.texts(func))
        if func.__globals__ is self._namespace and not self._with_globals:
            reduced[2][1]["__globals__"] = {}
        return type_hints.with_parameters(func, reducers.with_cells(func, reduced))

    def numbered(self) -> list[object]:
        """The objects it wrote, by number. It forgets them: call it last."""
        memo: Any = self.memo.copy()
        self.clear_memo()
        objects: list[object] = [None] * len(memo)
        for number, obj in memo.values():
            objects[number] = obj
        return objects

    @property
    def modules(self) -> frozenset[str]:
        """The modules it met that are not the user's own."""
        return frozenset(name for name, own in self._seen_modules.items() if name and not own)

    def _is_own(self, module: str) -> bool:
        """Whether `module` is the user's own; told to `on_own` the first time."""
        if module not in self._seen_modules:
            loaded = sys.modules.get(module) or _loaded_late(module)
            own = module != "__main__" and loaded is not None and user_modules.is_own(loaded)
            self._seen_modules[module] = own
            if own:
                self._on_own(module)
        return self._seen_modules[module]


def _loaded_late(module: str) -> types.ModuleType | None:
    """A part of a loaded package that only names itself so far (`numpy.rec`, of `np.recarray`):
    what it has would be copied, as if it were the notebook's.
    """
    if module.partition(".")[0] in sys.modules and "." in module:
        with suppress(Exception):  # no module of that name, or one that does not like it
            return importlib.import_module(module)
    return None


class ResultPickler(Pickler):
    """Writes every object of `known` (by id) as its number."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.met = set[int]()

    def persistent_id(self, obj: Any) -> Any:
        number = self.known.get(id(obj))
        if number is not None:
            if number >= 0:
                self.met.add(number)
        elif type(obj) is float and obj != obj:
            self.constants = self.constants or constants.NewNumbers(self.known)
            number = self.constants.of(obj)
        return number


class Unpickler(pickle.Unpickler):
    """Opens what these wrote: numbers become the `originals` they stand for. A container that
    `DeepPickler` fills later stands for itself.
    """

    originals: Mapping[int, object] = {}

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.constants = constants.Met()

    def persistent_load(self, pid: Any) -> object:
        if type(pid) is not int:
            return pid
        return self.originals[pid] if pid in self.originals else self.constants.of(pid)
