"""What a module's text names: the modules that it may import, and the names that it binds."""

from __future__ import annotations

import ast
import dis
import threading
import types
from collections.abc import Iterator
from functools import lru_cache

from mecapy_jupyter.travel.environment import executed_source

_IMPORT = dis.opmap["IMPORT_NAME"]
_parsing = threading.Lock()
"""CPython 3.11 counts the depth of all threads' parsing together (python/cpython#106905): two at
once may fail with a SystemError.
"""
IMPORTERS = frozenset({"import_module", "__import__"})
ANY = "*"
"""Stands for the modules whose names a text computes."""

Imports = tuple[tuple[str, bool], ...]


@lru_cache(maxsize=1024)
def read(source: str, name: str, is_package: bool) -> tuple[Imports, tuple[str, ...]]:
    """Absolute names that a source may import, possible submodules included, each with whether the
    import is optional (under `try`); and the names that it binds on every machine: not under an
    `if` or `try`.
    """
    try:
        with _parsing:
            tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return (), ()  # the import in the child reports it with its line
    package = name if is_package else name.rpartition(".")[0]
    nodes = _nodes(tree, any(called in source for called in IMPORTERS))
    imports = ((found, optional) for node, optional in nodes for found in _imported(node, package))
    bound = (name for node in tree.body for name in _binds(node))
    return tuple(dict.fromkeys(imports)), tuple(dict.fromkeys(bound))


@lru_cache(maxsize=1024)
def imported_by(code: types.CodeType) -> tuple[str, ...]:
    """Absolute names that a function may import, possible submodules included."""
    found, module = list[str](), ""
    for part in executed_source.codes(code):
        if _IMPORT not in part.co_code[::2]:
            continue
        # `dis` uses the repr of each constant, and an integer of 5,000 digits has none
        for step in dis.get_instructions(part.replace(co_consts=(None,) * len(part.co_consts))):
            if step.opcode == _IMPORT:
                found.append(module := str(step.argval))
            elif step.opname == "IMPORT_FROM":
                found.append(f"{module}.{step.argval}")
    return tuple(dict.fromkeys(found))


def _nodes(tree: ast.Module, inside: bool) -> Iterator[tuple[ast.AST, bool]]:
    """Statements, and whether each stands under `try`. `inside`: what is in them too."""
    todo: list[tuple[ast.AST, bool]] = [(tree, False)]
    while todo:
        node, optional = todo.pop()
        yield node, optional
        attempted = frozenset(node.body) if isinstance(node, ast.Try) else frozenset[ast.stmt]()
        todo += [
            (part, optional or part in attempted)
            for part in ast.iter_child_nodes(node)
            if inside or not isinstance(part, ast.expr)
        ]


def _binds(node: ast.stmt) -> Iterator[str]:
    match node:
        case ast.ClassDef(name, body=body, decorator_list=changed_by):
            yield name
            functions = (ast.FunctionDef, ast.AsyncFunctionDef)
            inner = [part.name for part in body if isinstance(part, functions)]
            yield from (f"{name}.{part}" for part in inner if not (changed_by or part[:2] == "__"))
        case ast.FunctionDef(name) | ast.AsyncFunctionDef(name):
            yield name
        case ast.Assign(targets):
            yield from (target.id for target in targets if isinstance(target, ast.Name))
        case ast.AnnAssign(ast.Name(name), _, ast.expr()):
            yield name
        case ast.Import(aliases) | ast.ImportFrom(_, aliases):
            yield from (alias.asname or alias.name.partition(".")[0] for alias in aliases)
        case _:
            pass


def _imported(node: ast.AST, package: str) -> Iterator[str]:
    match node:
        case ast.Import(names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(module, names, level):
            yield from _from(module, names, level, package)
        case ast.Call(
            ast.Name("import_module" | "__import__") | ast.Attribute(attr="import_module"),
            [ast.Constant(str(name)), *_],
        ):
            yield name if not name.startswith(".") else f"{package}{name}"
        case ast.Call(
            ast.Name("import_module" | "__import__") | ast.Attribute(attr="import_module")
        ):
            yield ANY
        case ast.Assign([ast.Name("__all__")], ast.List(items) | ast.Tuple(items)):
            yield from (
                f"{package}.{item.value}" for item in items if isinstance(item, ast.Constant)
            )
        case _:
            pass


def _from(
    module: str | None, names: list[ast.alias], level: int | None, package: str
) -> Iterator[str]:
    parts = package.split(".")
    above = parts[: len(parts) - (level or 1) + 1] if level else []
    base = ".".join([*above, *([module] if module else [])])
    for name in (base, *(f"{base}.{alias.name}" for alias in names if alias.name != "*")):
        if name.strip("."):
            yield name
