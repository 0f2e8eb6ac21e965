"""The key of a task: what its result depends on, as far as that is known before it runs.

Besides contents it covers how the stream of inputs numbers its objects, because a stored result
names inputs by their number.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from mecapy_jupyter.capture import code_uses
from mecapy_jupyter.content_key import code_content, packages, reached_names, state_content
from mecapy_jupyter.content_key.content import Content, NoContentKey
from mecapy_jupyter.shared import version
from mecapy_jupyter.travel.environment import module_state, user_modules
from mecapy_jupyter.travel.pickling import numbers

_NO_NUMBER = (*numbers.TEXT, int, float, complex, type(None))
_TIMES = frozenset(["now", "today", "utcnow", "timeit", "getmtime", "getatime", "getctime"]) | {
    f"st_{which}time{unit}" for which in "amc" for unit in ("", "_ns")
}
"""Names by which code reads the clock where Python reports nothing of it."""
_TEXTS = frozenset(["getsource", "getsourcelines", "findsource", "getcomments", "getdoc"]) | {
    *("__doc__", "testmod", "run_docstring_examples", "co_firstlineno", "f_lineno"),
}
_MACHINE = frozenset(["psutil", "getrusage", "virtual_memory", "cpu_percent", "getloadavg"])
_MAGICS, _TIMED = frozenset(["run_line_magic", "run_cell_magic"]), frozenset(["time", "prun"])


@dataclass(frozen=True, slots=True)
class TaskContent:
    """`code`: after IPython's transform. `memo`, `prelude`: of its packed inputs. `there`: versions
    of packages on the workers. `also`: plain values that the result depends on.
    """

    code: str
    values: Mapping[str, object]
    memo: Mapping[int, object]
    prelude: Mapping[str, Any]
    imports: Iterable[str] = ()
    there: Mapping[str, str] | None = None
    also: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class TaskKey:
    """`base`: of a run that does not read the random state it starts with; `seeded`: of one that
    does. `versions`: of packages, as both name them; empty where none is known.
    """

    base: bytes
    seeded: bytes
    versions: Mapping[str, str]


def task_key(task: TaskContent) -> TaskKey:
    """Raises NoContentKey: the text says which part has no content, or reads the clock."""
    content = Content()
    content.add((version.__version__, version.minor(), sys.platform, task.also))
    _add_code(content, task.code)
    for name in sorted(task.values):
        content.mark("variable", name.encode())
        content.add(task.values[name], name)
    _add_state(content, task.prelude, task.imports)
    _add_numbers(content, task.memo)
    mentions = reached_names.mentions(content.mentions, content.sources)
    for names, what in (
        (_TIMES, "it reads the clock"),
        (_TEXTS, "it reads the text of code, and a key leaves out comments and docstrings"),
        (_MACHINE, "it looks at the machine"),
    ):
        if read := sorted(mentions & names):
            raise NoContentKey(f"{what} ({read[0]!r})")
    versions = packages.named(sorted(content.modules), task.there or {})
    content.add({name: each for name, each in versions.items() if each})
    base = content.digest()
    ambient: Mapping[str, object] = task.prelude.get("ambient", {})
    content.add([ambient.get(kind) for kind in sorted(state_content.RANDOM, reverse=True)])
    return TaskKey(base, content.digest(), versions)


def _add_code(content: Content, source: str) -> None:
    """Add the code without comments and layout. Not as compiled code, which lacks a constant on the
    last line that the cell shows.
    """
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    tree = compile(source, "<cell>", "exec", flags | ast.PyCF_ONLY_AST, dont_inherit=True)
    content.mark("cell", ast.dump(cast("ast.Module", tree)).encode("utf-8", "surrogatepass"))
    content.mark("shown", str(_ends_silent(source)).encode())
    used = code_uses.uses(compile(source, "<cell>", "exec", flags, dont_inherit=True))
    texts = {text.strip().lower() for text in used.texts}
    content.mentions.update(used.mentions, texts)
    content.modules.update(name.partition(".")[0] for name in used.imports if name)
    if used.mentions & _MAGICS and texts & _TIMED:
        raise NoContentKey("it measures time with a magic")


def _ends_silent(source: str) -> bool:
    """Whether a semicolon hides its last value."""
    last = source.rstrip().rpartition("\n")[2]
    return last.partition("#")[0].rstrip().endswith(";") or last.rstrip().endswith(";")


def _add_state(content: Content, prelude: Mapping[str, Any], imports: Iterable[str]) -> None:
    """The user's modules with their state, and the state of the process without random numbers."""
    sources = [str(source["name"]) for source in prelude.get("modules", ())]
    code_content.own_modules(content, {*sources, *imports})
    for name in sources:
        if (module := sys.modules.get(name)) is not None:
            held = module_state.of(module, user_modules.is_own)
            content.add(dict(sorted(held.items())), f"the module {name}")
    content.add(prelude.get("imports"))
    state_content.add(content, prelude)


def _add_numbers(content: Content, memo: Mapping[int, object]) -> None:
    """Adds which object has which number. Text has none in a result that is to be found again."""
    roots = dict[int, tuple[int, int]]()
    for number, value in sorted(memo.items()):
        if isinstance(value, numbers.TEXT):
            continue
        content.mark(type(value).__qualname__, str(number).encode())
        content.add(value, f"object {number}")
        if isinstance(value, set | frozenset):  # the order of what has numbers
            held = cast("set[object]", value)
            content.add([each for each in held if not isinstance(each, _NO_NUMBER)])
        elif (base := _base(value)) is not None:
            content.add(_place(base, value, roots))


def _base(value: Any) -> object:
    """The memory that an array shares with others; None for any other object."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, numpy.ndarray):
        return None
    base = value
    while isinstance(base, numpy.ndarray) and base.base is not None:
        base = base.base
    return base


def _place(base: object, array: Any, roots: dict[int, tuple[int, int]]) -> tuple[object, ...]:
    """Where the array lies in its memory, from the first array of it on."""
    at = int(array.__array_interface__["data"][0])
    number, first = roots.setdefault(id(base), (len(roots), at))
    return number, at - first, array.strides
