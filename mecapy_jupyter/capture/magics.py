"""Code that stands in strings becomes code: magics, shell commands and constant eval, as IPython
would run them.

Runs nothing; a magic it does not know may bind anything, and it says so.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

_WORD = re.compile(r"[^\W\d]\w*")
_RUNS_HERE, _RUNS_APART = (
    frozenset({"time", "capture", "debug"}),
    frozenset({"timeit", "prun", "memit", "mprun", "lprun", "mprof"}),
)
_RUNS = _RUNS_HERE | {"timeit", "prun", "memit"}
"""Magics whose line is code and nothing else."""
_SHELL = {"!", "!!"} | frozenset(
    _WORD.findall(
        "system sx sc ! !! bash sh script ruby perl pip conda mamba micromamba uv cd ls pwd cat "
        "env set_env mkdir rm cp mv"
    )
)
_SHOWS = frozenset(
    {
        "who",
        "who_ls",
        "whos",
        "pinfo2",
        "psearch",
        "store",
        "save",
        "macro",
        "edit",
        "run",
        "reset",
        "history",
    }
)
_EXPANDED = re.compile(r"\$\{?([A-Za-z_]\w*)|\{([^{}]+)\}")


class Inline(ast.NodeTransformer):
    """Puts the code that a statement holds in strings in front of that statement."""

    def __init__(self) -> None:
        self.words, self.binds = set[str](), set[str]()
        self.dynamic = self.unseen = False
        self._depth = 0

    def visit(self, node: ast.AST) -> ast.AST | list[ast.stmt]:  # pyright: ignore[reportIncompatibleMethodOverride]
        inside = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda))
        self._depth += inside
        self.generic_visit(node)
        self._depth -= inside
        if not isinstance(node, ast.stmt) or isinstance(
            node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
        ):
            return node
        front = [placed for call in _own_calls(node) for placed in self._code(call)]
        return [*front, node] if front else node

    def _code(self, call: ast.Call) -> list[ast.stmt]:
        texts = [
            argument.value
            for argument in call.args
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
        ]
        match call.func:
            case ast.Name(id="eval" | "exec" as name) if len(texts) == len(call.args) == 1:
                return self._place(_statements(texts[0]), call.lineno, apart=name == "eval")
            case ast.Attribute(value=ast.Call(func=ast.Name(id="get_ipython")), attr=attribute) if (
                len(texts) == len(call.args) and texts
            ):
                return self._magic(attribute, texts, call.lineno)
            case _:
                return []

    def _magic(self, attribute: str, texts: list[str], line: int) -> list[ast.stmt]:
        magic = texts.pop(0) if attribute in ("run_line_magic", "run_cell_magic") else "system"
        options = texts[0] if texts else ""
        if magic in _SHELL:
            return [
                placed
                for text in texts
                for placed in self._place(_expanded(text), line, apart=True)
            ]
        apart = magic not in _RUNS_HERE
        if magic == "capture":
            self.binds.update(_WORD.findall(options))
        elif apart and magic not in _RUNS_APART:
            self.unseen = True
            self.dynamic |= magic in _SHOWS
        if attribute == "run_line_magic":
            code = _statements(options, drop_options=True)
            if code is None or magic not in _RUNS:
                self.words.update(_WORD.findall(options))
            return self._place(code or _expanded(options), line, apart)
        body = texts[1] if len(texts) > 1 else ""
        parsed = _statements(body)
        if parsed is None:
            self.words.update(_WORD.findall(options))
            return self._place(_expanded(options), line, apart=True)
        first = (
            []
            if magic == "capture"
            else _statements(options, drop_options=True) or _expanded(options)
        )
        return (
            self._place([*first, *parsed], line, apart)
            if apart
            else [*self._place(first, line, apart=True), *self._place(parsed, line, apart)]
        )

    def _place(self, statements: list[ast.stmt] | None, line: int, apart: bool) -> list[ast.stmt]:
        """Line numbers of the cell. `apart`: in a class body, where it may read but binds nothing
        and promises nothing.
        """
        if not statements:
            return []
        for statement in statements:
            ast.increment_lineno(statement, line)
        if not apart and not self._depth:
            return statements
        kept = ast.parse("class __qualname__: pass").body
        assert isinstance(kept[0], ast.ClassDef)
        kept[0].body = statements
        return kept


def _own_calls(statement: ast.stmt) -> Iterator[ast.Call]:
    """Calls in a statement's expressions, not in the statements inside it: those were visited."""
    todo = [child for child in ast.iter_child_nodes(statement) if not isinstance(child, ast.stmt)]
    while todo:
        node = todo.pop(0)
        if isinstance(node, ast.Call):
            yield node
        todo.extend(
            child for child in ast.iter_child_nodes(node) if not isinstance(child, ast.stmt)
        )


def _statements(text: str, drop_options: bool = False) -> list[ast.stmt] | None:
    """The code in a text, without a magic's options before it; None: it is not Python."""
    rest = text.strip("\n") if not drop_options else text.strip()
    while rest:
        try:
            compile(tree := ast.parse(rest), "<magic>", "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            rest = rest.partition(" ")[2].strip() if drop_options else ""
        else:
            return tree.body
    return None


def _expanded(text: str) -> list[ast.stmt]:
    """What IPython puts into a command: `$name` and `{expression}`."""
    parts = (name or expression for name, expression in _EXPANDED.findall(text))
    return [statement for part in parts for statement in _statements(part) or ()]
