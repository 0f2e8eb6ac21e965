"""Code that stands in strings: magics and shell commands as IPython would run them, constant eval
and exec, and expressions that a library evaluates in its caller's variables.

Runs nothing; a magic it does not know may bind anything, and it says so.
"""

from __future__ import annotations

import ast
import contextlib
import re
import warnings
from collections.abc import Container, Generator
from dataclasses import dataclass, field
from functools import lru_cache

NAMESPACES = frozenset({"globals", "locals", "vars", "dir"})
_WORD = re.compile(r"[^\W\d]\w*")
_RUNS_HERE, _RUNS_APART = ("time", "capture", "debug"), ("timeit", "prun")
_SHELL = frozenset(
    _WORD.findall(
        "system sx sc bash sh script ruby perl pip conda mamba micromamba uv cd ls pwd cat env "
        "set_env mkdir rm cp mv"
    )
) | {"!", "!!"}
_SHOWS = frozenset(
    _WORD.findall("who who_ls whos pinfo2 psearch store save macro edit run reset history")
)
"""IPython's magics: code and nothing else, a shell's line, and what uses any name."""
_EXPANDED = re.compile(r"\$\{?([A-Za-z_]\w*)|\{([^{}]+)\}")
_METHODS = frozenset({"run_line_magic", "run_cell_magic", "system", "getoutput", "getoutputs"})


@dataclass(slots=True)
class Hidden:
    """`here`: code that runs as if it stood in the cell. `apart`: code that binds nothing there.
    `words`: names only if the notebook has them. `dynamic`, `unseen`: as in `names.Names`.
    """

    here: list[ast.stmt] = field(default_factory=list[ast.stmt])
    apart: list[ast.stmt] = field(default_factory=list[ast.stmt])
    words: set[str] = field(default_factory=set[str])
    binds: set[str] = field(default_factory=set[str])
    dynamic: bool = False
    unseen: bool = False


def hidden_in(call: ast.Call) -> Hidden | None:
    """The code in the constant strings of a call; None: the call has none that can be known."""
    texts = [
        argument.value
        for argument in call.args
        if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
    ]
    if not texts or len(texts) != len(call.args):
        return None
    match call.func:
        case ast.Name("eval" | "exec" as name) if len(texts) == 1 and not call.keywords:
            code = _statements(texts[0].lstrip(" \t") if name == "eval" else texts[0]) or []
            hidden = Hidden(apart=code) if name == "eval" else Hidden(here=code)
        case ast.Attribute(ast.Call(ast.Name("get_ipython")), method) if method in _METHODS:
            hidden = _magic(method, texts)
        case _:
            return None
    for statement in (*hidden.here, *hidden.apart):
        ast.increment_lineno(statement, call.lineno - 1)
    return hidden


def namespace_key(node: ast.expr) -> str:
    """The `x` of `globals()["x"]`, `"x" in globals()` and `globals().get("x")`."""
    match node:
        case ast.Subscript(ast.Call(ast.Name(space), []), ast.Constant(str(name))):
            pass
        case ast.Compare(ast.Constant(str(name)), [_], [ast.Call(ast.Name(space), [])]):
            pass
        case ast.Call(
            ast.Attribute(ast.Call(ast.Name(space), []), "get"), [ast.Constant(str(name)), *_]
        ):
            pass
        case _:
            return ""
    return name if space in NAMESPACES else ""


def _magic(method: str, texts: list[str]) -> Hidden:
    magic = texts.pop(0) if method.startswith("run_") else "system"
    options, body = (*texts, "", "")[:2]
    if magic in _SHELL:
        return Hidden(apart=[part for text in texts for part in _expanded(text)])
    hidden = Hidden()
    if magic == "capture":
        hidden.binds.update(_WORD.findall(options))
        options = ""
    is_known = magic in _RUNS_HERE or magic in _RUNS_APART
    hidden.unseen, hidden.dynamic = not is_known, magic in _SHOWS
    line, cell = _statements(options, drop_options=True), _statements(body)
    if not (is_known and line):
        hidden.words.update(_WORD.findall(options))
    line, cell = line or _expanded(options), _expanded(body) if cell is None else cell
    for statement in cell:
        ast.increment_lineno(statement)
    if magic not in _RUNS_HERE:
        hidden.apart = [*line, *cell]
    elif method == "run_line_magic":
        hidden.here = line
    else:
        hidden.apart, hidden.here = line, cell
    return hidden


@contextlib.contextmanager
def without_warnings() -> Generator[None]:
    """`warnings.catch_warnings` makes Python forget what it has warned of: it would warn again."""
    shown, warnings.showwarning = warnings.showwarning, _nothing
    try:
        yield
    finally:
        warnings.showwarning = shown


def _nothing(*_: object, **__: object) -> None: ...


def _statements(text: str, drop_options: bool = False) -> list[ast.stmt] | None:
    """The code in a text, without a magic's options before it; None: it is not Python."""
    rest = text.strip() if drop_options else text.strip("\n")
    while rest:
        try:
            with without_warnings():
                compile(tree := ast.parse(rest), "<magic>", "exec", dont_inherit=True)
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            rest = rest.partition(" ")[2].strip() if drop_options else ""
        else:
            return tree.body
    return None


def _expanded(text: str) -> list[ast.stmt]:
    """What IPython puts into a command: `$name` and `{expression}`."""
    parts = (name or expression for name, expression in _EXPANDED.findall(text))
    return [statement for part in parts for statement in _statements(part) or ()]


_OPERATOR = re.compile(r"[-+*/%<>=(\[@~&|^]|\b(?i:select)\b")
_SQL = re.compile(r"(?is)\s*(?:with\b.*)?select\b.*\bfrom\b")
_TABLE = re.compile(r"(?i)\b(?:from|join)\s+(\w+)")
_MARKED = re.compile(r"(?<![\w)\]])@([^\W\d]\w*)")
_EQUATION = re.compile(r"\n|[~:;]|(?<![<>=!])=(?!=)")
_OPERATES = ast.BinOp | ast.BoolOp | ast.Compare | ast.Call | ast.Subscript


def may_be_code(text: str) -> bool:
    return len(text) < 10_000 and "{" not in text and _OPERATOR.search(text) is not None


def names_in(text: str, known: Container[str]) -> frozenset[str]:
    """Those of the notebook's names that a text like `a > @limit`, `y ~ log(x)`, `2*a + b` or
    `SELECT … FROM table` may mean. A text that may as well be a path or prose (`data/run`,
    `time in s`) means names only when the notebook has them all.
    """
    if not any(word in known for word in _WORD.findall(text)):
        return frozenset()
    names, all_or_none = _expression(text)
    found = frozenset(name for name in names if name in known)
    return found if found == names or not all_or_none else frozenset()


@lru_cache(maxsize=4096)
def _expression(text: str) -> tuple[frozenset[str], bool]:
    if _SQL.match(text):
        return frozenset(_TABLE.findall(text)), False
    plain = _MARKED.sub(r"\1", text)
    parts = _statements(plain.strip())
    if parts is None:
        lines = [_statements(part.strip()) for part in _EQUATION.split(plain) if part.strip()]
        parts = [part for line in lines for part in line or ()] if None not in lines else []
    nodes = [node for part in parts for node in ast.walk(part)]
    if plain == text and "~" not in text and not any(isinstance(n, _OPERATES) for n in nodes):
        return frozenset(), False
    names = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    names.update(_MARKED.findall(text))
    return frozenset(names), re.fullmatch(r"[\w\s./\\-]+", text) is not None
