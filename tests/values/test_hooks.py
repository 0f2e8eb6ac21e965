"""What pickling bends in Python and cloudpickle is still there: each test fails when it moves."""

from __future__ import annotations

import abc
import importlib
import inspect
import io
import pickle
import sys
import traceback
from typing import Any, ClassVar

import cloudpickle
import pytest

from mecapy_jupyter.travel.environment import module_importer, source_files
from mecapy_jupyter.travel.hooks import abstract_classes, pickles, references


class Registering(abc.ABC):
    @abc.abstractmethod
    def answer(self) -> int: ...


def test_the_python_unpickler_takes_its_steps_from_a_table() -> None:
    """A step that a subclass puts into `dispatch` is the one that opens, with the stack as it is
    known.
    """

    class Opening(pickles.PythonUnpickler):
        dispatch: ClassVar[dict[int, Any]] = dict(pickles.PythonUnpickler.dispatch)

    made = list[Any]()

    def reduce(opening: Any) -> None:
        made.append(list(opening.stack[-2:]))
        pickles.PythonUnpickler.dispatch[pickle.REDUCE[0]](opening)

    Opening.dispatch[pickle.REDUCE[0]] = reduce
    opening = Opening(io.BytesIO(pickle.dumps([1j])))
    assert opening.load() == [1j] and made == [[complex, (0.0, 1.0)]]
    assert opening.metastack == [] and len(opening.memo) > 0
    assert list(inspect.signature(opening.find_class).parameters) == ["module", "name"]


def test_cloudpickle_makes_classes_by_functions_we_know() -> None:
    """A class by value is a skeleton with these six, and its attributes; the tracker gives the one
    that was made before.
    """

    class Made:
        x = 1

    Made.__module__ = "__main__"
    make, arguments, (attributes, slots), *_ = pickles.dynamic_class_reduce(Made)
    assert make is pickles.make_skeleton_class and len(arguments) == 6
    kind, name, bases, _, tracker, extra = arguments
    assert (kind, name, bases, extra) == (type, "Made", (object,), None)
    assert attributes["x"] == 1 and slots == {}
    assert pickles.lookup_class_or_track(tracker, type("Made", (), {})) is Made


def test_cloudpickle_tells_what_goes_by_name() -> None:
    """A function of a module does, with its home; one of the notebook does not."""
    assert pickles.goes_by_name(inspect.signature)
    assert pickles.home_of(inspect.signature) == (inspect, "signature")
    notebook: dict[str, Any] = {"__name__": "__main__"}
    exec("def f(): pass", notebook)
    assert pickles.home_of(notebook["f"]) is None and not pickles.goes_by_name(notebook["f"])


def test_cloudpickle_asks_how_a_function_is_written() -> None:
    """The method that two picklers of ours override: its state's second part has the globals and
    the closure, and namespaces stand in `globals_ref`.
    """

    class Asked(cloudpickle.Pickler):
        def _dynamic_function_reduce(self, func: Any) -> Any:
            reduced: Any = super()._dynamic_function_reduce(func)  # pyright: ignore
            made.append(reduced)
            return reduced

    made = list[Any]()
    pickler = Asked(io.BytesIO(), protocol=5)
    assert pickler.globals_ref == {}
    pickler.dump(lambda: made)
    (_, (_, namespace, *_), (_, slots), *_) = made[0]
    assert isinstance(namespace, dict) and {"__globals__", "__closure__"} <= slots.keys()


def test_counts_tell_what_only_the_memo_holds() -> None:
    """An object of the memo alone is left out; one that a name holds is not."""
    held = object()
    memo = {1: object(), 2: held, 3: [held]}
    assert references.held(memo) == [(2, held)]
    objects = [held, {"state": 1}]
    objects.append((objects[1],))
    references.keep_held(objects)
    assert objects == [held, None, None]


def test_an_abstract_class_tells_who_was_registered() -> None:
    """`_abc` names them, in a dump that has weak references first."""
    assert abstract_classes.registered(Registering) == []
    Registering.register(int)
    assert abstract_classes.registered(Registering) == [int]
    assert abstract_classes.registered(int) == []


def test_a_failed_import_shows_the_frames_of_the_module_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Python takes our loader's frames for the import system's, and leaves both out."""
    source = "def load():\n    return 1 / 0\n\nload()\n"
    module = source_files.ModuleSource("failing_at_import", False, source, "/there/failing.py")
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path])
    module_importer.install([module])
    with pytest.raises(ZeroDivisionError) as raised:
        importlib.import_module("failing_at_import")
    del module_importer.served.sources["failing_at_import"]
    files = [frame.filename for frame in traceback.extract_tb(raised.tb)]
    assert [name for name in files if "importlib" not in name] == [
        __file__,
        "/there/failing.py",
        "/there/failing.py",
    ]
