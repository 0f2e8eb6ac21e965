"""Pickles a notebook's values: functions that find the other side's namespace, the user's own
modules, large buffers beside the stream. `reducers`, `array_views` and others handle what pickle
cannot.
"""

from __future__ import annotations

import importlib
import io
import operator
import pickle
import sys
import threading
import types
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager
from typing import Any, cast

import cloudpickle

from mecapy_jupyter.travel.environment import (
    cell_sources,
    module_state,
    originals,
    pint_state,
    state_pickler,
)
from mecapy_jupyter.travel.hooks import pickles
from mecapy_jupyter.travel.pickling import (
    array_views,
    by_name_reducers,
    class_reducers,
    constants,
    folder_paths,
    hinted_names,
    pandas_reducers,
    reducers,
    type_hints,
)
from mecapy_jupyter.travel.pickling.packed import Shared
from mecapy_jupyter.travel.pickling.seen_modules import SeenModules
from mecapy_jupyter.travel.pickling.singletons import Singletons

BUFFER_BYTES = 64 * 1024
"""Buffers of this size or more travel beside the stream, each as a blob; smaller ones inside it."""

MOST_BUFFERS = 999
"""This many can be sent beside the stream: each is an open file in the child, and the stream may be
one too.
"""

_MANY_BUFFERS, _LARGE_BYTES = 500, 1 << 20
"""With more than this many beside the stream, only large ones stay there."""

_LOCKS: dict[type[Any], Callable[[], object]] = {
    type(threading.Lock()): threading.Lock,
    type(threading.RLock()): threading.RLock,
}
_opening = threading.local()


@contextmanager
def opening(namespace: dict[str, Any]) -> Generator[None]:
    """Inside the block, functions that are opened use this namespace. cloudpickle sets its
    `__builtins__` to a dict; it stays the module that a user reads as `__builtins__.sum`.
    """
    _opening.namespace, builtins = namespace, namespace.get("__builtins__")
    try:
        yield
    finally:
        _opening.namespace = None
        if builtins is not None:
            namespace["__builtins__"] = builtins


class _Namespace:
    """Stands for the namespace of cells, so that functions of the notebook use that of the other
    side.
    """

    def __reduce__(self) -> tuple[Callable[[], dict[str, Any]], tuple[()]]:
        return _namespace_here, ()


def _namespace_here() -> dict[str, Any]:
    return _opening.namespace


def _keeper(buffers: list[memoryview]) -> Callable[[pickle.PickleBuffer], bool]:
    def keep(buffer: pickle.PickleBuffer) -> bool:
        """True keeps a buffer inside the stream."""
        raw = buffer.raw()
        if raw.nbytes < (BUFFER_BYTES if len(buffers) < _MANY_BUFFERS else _LARGE_BYTES):
            return True
        buffers.append(raw)
        return False

    return keep


class Pickler(cloudpickle.Pickler):
    """Pickles functions of `namespace` so that they use the other side's namespace.

    `with_globals`: whether such a function brings the globals that it reads (needed only on the way
    out). `on_own`: called with the name of each user-defined module that the stream needs.
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
        self.dispatch_table = dict(self.dispatch_table)  # a ChainMap is slow for each object
        # What it holds must not refer to it: a cycle would keep what it pickled until the garbage
        # collector comes, and pandas would see memory as shared.
        super().__init__(file, protocol=5, buffer_callback=_keeper(self.buffers))
        self.globals_ref[id(namespace)] = _Namespace()
        self._namespace = namespace
        self._with_globals = with_globals
        self._seen_modules = SeenModules(on_own)
        self._is_own = self._seen_modules.is_own
        self._singletons = Singletons(self._is_own, sets=with_globals)
        self._ordinary = set[type[Any]]()
        self._copied: list[Any] = []
        self._namespaces: list[dict[str, Any]] = []
        self.files = set[str]()
        """The files of the functions that it pickled."""
        self.hints = set[str]()
        """The string annotations in what it pickled."""

    def reducer_override(self, obj: Any) -> Any:
        if originals.replaced and (of_module := originals.reduced(obj)) is not None:
            return of_module
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
        elif self.of_modules and kind in _LOCKS:
            return _LOCKS[kind], ()
        elif kind is types.FunctionType:
            self._is_own(getattr(obj, "__module__", None) or "")
            if pickles.is_renamed(obj):
                return self._dynamic_function_reduce(obj)
        elif array_views.is_array(obj) and (view := self._as_view(obj)) is not None:
            return view
        elif array_views.is_row(obj):
            return operator.getitem, (array_views.of_row(obj), ())
        elif self._with_globals and pandas_reducers.is_record(obj):
            return pandas_reducers.with_others(obj)
        elif (reduced := type_hints.reduced(obj) or reducers.reduced(obj)) is not None:
            if reduced[0] is by_name_reducers.attribute:  # with its settings if they are plain
                return self._singletons.reduced(obj) or reduced
            return reduced
        elif issubclass(kind, reducers.CACHED):
            self._is_own(getattr(obj, "__module__", None) or "")
        elif (standing := self._singletons.reduced(obj)) is not None:
            return standing
        return super().reducer_override(obj)

    def _as_view(self, array: Any) -> Any:
        if id(array) in self._whole:
            return array_views.swapped(array)
        view = array_views.reduced(array, self._roots)
        if view is None:
            self._copied.append(array)
        whole, swapped = array_views.whole, array_views.swapped
        return view or array_views.read_only(array) or whole(array) or swapped(array)

    def keep(self, shared: Shared, whole: Iterable[object] = ()) -> None:
        """Write what is on the memory or in the namespace of one of these as such and not as a
        copy: `v = a[2:5]` stays a view of `a`. `whole`: arrays that are never written as views.
        """
        self._roots = shared.roots
        self._whole = frozenset(map(id, whole))
        self.globals_ref.update({id(globals_): globals_ for globals_ in shared.namespaces})

    def copied(self) -> Shared:
        """What it copied although it is shared: memory of arrays, and dicts in which `exec` defined
        functions. Forgets what it noted for that.
        """
        arrays = {id(array): array for array in self._copied}.values()
        namespaces = {id(one): one for one in self._namespaces}
        self._copied, self._namespaces = [], []
        pickled: dict[int, Any] = {}

        def is_pickled(obj: object) -> bool:
            pickled.update(pickled or self.memo.copy())
            return id(obj) in pickled or id(obj) in self.known

        return Shared(
            array_views.shared(arrays, is_pickled), tuple(filter(is_pickled, namespaces.values()))
        )

    of_modules = False
    """Whether the state of modules is pickled, in which a lock becomes a new one."""
    _roots: Mapping[int, Any] = {}
    _whole: frozenset[int] = frozenset()
    known: Mapping[int, int] = {}
    constants: constants.NewNumbers | None = None

    def _dynamic_function_reduce(self, func: types.FunctionType) -> Any:
        of_module = self._is_of_own(func.__globals__)
        reduced = super()._dynamic_function_reduce(func)  # pyright: ignore
        self.files.add(func.__code__.co_filename)
        self.hints.update(hinted_names.texts(func))
        self._seen_modules.may_be_imported_by(func.__code__)
        if of_module:
            reduced[2][1]["__globals__"] = {}
        elif func.__globals__ is not self._namespace:
            self._namespaces.append(func.__globals__)
        elif not self._with_globals:
            reduced[2][1]["__globals__"] = {}
        reduced = type_hints.with_parameters(func, reducers.with_cells(func, reduced))
        return reduced if self._with_globals else cell_sources.with_lines(func, reduced)

    def _is_of_own(self, namespace: dict[str, Any]) -> bool:
        """Whether it is the namespace of a module of the user's, which travels with its state."""
        name = namespace.get("__name__")
        module = sys.modules.get(name) if type(name) is str else None
        if module is None or vars(module) is not namespace or not self._is_own(module.__name__):
            return False
        if module_state.is_made(module):
            return False
        self.globals_ref.setdefault(id(namespace), state_pickler.Globals(module.__name__))
        return True

    def numbered(self) -> list[object]:
        """The objects that it pickled, by number. Forgets them, so call it last."""
        memo: Any = self.memo.copy()
        self.clear_memo()
        objects: list[object] = [None] * len(memo)
        for number, obj in memo.values():
            objects[number] = obj
        return objects

    @property
    def modules(self) -> frozenset[str]:
        """The other modules that it met."""
        return self._seen_modules.others()


class ResultPickler(Pickler):
    """Pickles every object of `known` (by id) as its number; `met` gets the numbers."""

    met: set[int]
    paths = folder_paths.FolderPaths()

    def persistent_id(self, obj: Any) -> Any:
        number = self.known.get(id(obj))
        if number is not None:
            if number >= 0:
                self.met.add(number)
        elif type(obj) is float and obj != obj:
            self.constants = self.constants or constants.NewNumbers(self.known)
            number = self.constants.of(obj)
        elif type(obj) in self.paths.kinds:
            return self.paths.of(obj)
        return number

    def reducer_override(self, obj: Any) -> Any:
        return self.paths.reduced(obj) or super().reducer_override(obj)


class Unpickler(pickle.Unpickler):
    """Opens the output of these picklers: numbers become the `originals`. A container that
    `DeepPickler` fills later stands for itself.
    """

    originals: Mapping[int, object] = {}

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.constants = constants.Met()

    def persistent_load(self, pid: Any) -> object:
        if type(pid) is not int:
            return pid.here() if type(pid) is folder_paths.InFolder else pid
        return self.originals[pid] if pid in self.originals else self.constants.of(pid)
