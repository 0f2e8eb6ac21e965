"""Names that a cell uses through strings: eval, globals(), query strings, formulas; and magics,
which `inline` unpacks.

It answers with a tree in which hidden code is plain code, with words that may be names, and with
whether anything at all may be read or bound unseen. It runs nothing.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass

from mecapy_jupyter.capture.magics import Inline

_WORD = re.compile(r"[^\W\d]\w*")
_NAMESPACES = frozenset({"globals", "locals", "vars", "dir"})
_FRAMES = frozenset(
    {
        "user_ns",
        "user_global_ns",
        "_getframe",
        "currentframe",
        "stack",
        "f_globals",
        "f_locals",
        "__main__",
    }
)
_BINDERS = frozenset({"init_session", "modules", "builtins", "setattr", "__builtins__"})
"""They may bind names in the notebook: sympy's init_session(), setattr(sys.modules[…], …)."""
_QUERIES = frozenset(
    _WORD.findall(
        "query eval evaluate re_evaluate timeit repeat Timer from_formula dmatrix dmatrices ols "
        "wls gls glm logit probit "
        "poisson mixedlm rlm quantreg phreg gee NeuronGroup Synapses Equations Network "
        "simulate_formula"
    )
)
"""Their strings name variables of the caller: pandas, numexpr, timeit, statsmodels and patsy,
brian2.
"""
TRIGGERS = _NAMESPACES | _FRAMES | _BINDERS | _QUERIES | {"get_ipython", "exec", "var"}
"""A cell that mentions none of these hides nothing."""
OPENERS = TRIGGERS - _QUERIES
"""Code that mentions one of these may bind names of the notebook."""


@dataclass(slots=True)
class Hidden:
    """`words`: names only if the notebook has them. `dynamic`: may read any name; `unseen`: may
    bind any name.
    """

    tree: ast.Module
    words: set[str]
    binds: set[str]
    deletes: set[str]
    dynamic: bool
    unseen: bool


def look(source: str, flags: int, mentions: set[str]) -> Hidden:
    """`mentions`: every name and attribute the cell's code uses."""
    tree = compile(
        source,
        "<cell>",
        "exec",
        flags | ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
        dont_inherit=True,
    )
    unpacked = Inline()
    unpacked.visit(tree)
    found = Hidden(tree, unpacked.words, unpacked.binds, set(), unpacked.dynamic, unpacked.unseen)
    _Look(found, queries=not _QUERIES.isdisjoint(mentions)).visit(tree)
    return found


class _Look(ast.NodeVisitor):
    """Finds the ways to a namespace. Known shapes (`"x" in globals()`) name one variable; any other
    may mean all.
    """

    def __init__(self, found: Hidden, queries: bool) -> None:
        self._found, self._queries, self._in_function = found, queries, 0
        self._understood: set[ast.AST] = set()

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> None:
        self._in_function += 1
        self.generic_visit(node)
        self._in_function -= 1

    visit_AsyncFunctionDef = visit_Lambda = visit_FunctionDef

    def visit_Compare(self, node: ast.Compare) -> None:
        match node:
            case ast.Compare(
                ast.Constant(str(name)), [ast.In() | ast.NotIn()], [ast.Call() as call]
            ) if self._is_namespace(call):
                self._found.words.add(name)
                self._understood.add(call)
            case _:
                pass
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        match node:
            case ast.Subscript(ast.Call() as call, ast.Constant(str(name)), context) if (
                self._is_namespace(call)
            ):
                self._understood.add(call)
                found = self._found
                (
                    found.words
                    if isinstance(context, ast.Load)
                    else found.binds
                    if isinstance(context, ast.Store)
                    else found.deletes
                ).add(name)
                found.unseen |= not isinstance(context, ast.Load)
            case _:
                pass
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        match node:
            case ast.Call(
                ast.Attribute(ast.Call() as call, "get"), [ast.Constant(str(name)), *_]
            ) if self._is_namespace(call):
                self._found.words.add(name)
                self._understood.add(call)
            case ast.Call(ast.Name(name)) if self._is_namespace(node):
                if node not in self._understood and (name == "globals" or not self._in_function):
                    self._found.dynamic = self._found.unseen = True
                self._understood.add(node.func)
            case ast.Call(ast.Name("vars" | "dir" | "locals"), [_, *_]):
                self._understood.add(node.func)
            case ast.Call(ast.Name("eval" | "exec"), [ast.Constant(str())]):
                self._understood.add(node.func)
                self._found.unseen |= self._in_function > 0
            case ast.Call(
                ast.Name("var") | ast.Attribute(attr="var"), [ast.Constant(str(text)), *_]
            ):
                self._found.binds.update(_WORD.findall(text))
                self._found.unseen = True
            case ast.Call(
                ast.Attribute(ast.Call(ast.Name("get_ipython")) as shell, method), arguments
            ) if method in (
                "run_line_magic",
                "run_cell_magic",
                "system",
                "getoutput",
                "getoutputs",
            ) and all(isinstance(argument, ast.Constant) for argument in arguments):
                self._understood.update((shell, shell.func))
            case _:
                pass
        self.generic_visit(node)

    def _is_namespace(self, call: ast.Call) -> bool:
        return isinstance(call.func, ast.Name) and call.func.id in _NAMESPACES and not call.args

    def visit_Name(self, node: ast.Name) -> None:
        if node in self._understood:
            return
        anything = node.id in _NAMESPACES or node.id in ("eval", "exec", "get_ipython", "__main__")
        self._found.dynamic |= anything
        self._found.unseen |= anything or node.id in _BINDERS

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self._found.dynamic |= node.attr in _FRAMES
        self._found.unseen |= node.attr in _FRAMES or node.attr in _BINDERS
        self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        names = {alias.name for alias in node.names}
        self._found.dynamic |= "__main__" in names
        self._found.unseen |= not names.isdisjoint(("__main__", "builtins"))

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        self._found.dynamic |= node.module == "__main__"

    def visit_Constant(self, node: ast.Constant) -> None:
        """Any string of a cell that queries: the expression may stand in a variable first."""
        if self._queries and isinstance(node.value, str) and len(node.value) < 10_000:
            self._found.words.update(_WORD.findall(node.value))
