"""Which names of a user's module are reached from code that is known: the module's statements run
at its import; what a function says counts only where its name is mentioned.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

_ANY = frozenset(["getattr", "globals", "vars", "eval", "exec", "__dict__", "__getattr__"])
"""Code that mentions one of these may reach any function."""


def mentions(known: set[str], sources: list[str]) -> set[str]:
    """Names, attributes and texts of what is reached, those `known` included."""
    found, pending = set(known), list[tuple[str, ast.AST]]()
    for source in sources:
        try:
            for name, node in _parts(ast.parse(source).body):
                pending.append((name, node))
        except (SyntaxError, ValueError):
            found.add("getattr")
    while reached := [one for one in pending if one[0] in found or not one[0] or found & _ANY]:
        pending = [one for one in pending if one not in reached]
        for _, node in reached:
            found |= set(_said(node))
    return found


def _parts(body: list[ast.stmt]) -> Iterator[tuple[str, ast.AST]]:
    """Each statement with the name that reaches it, empty where it runs at the import."""
    for node in body:
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                is_called = node.decorator_list or node.name.startswith("__")
                yield "" if is_called else node.name, node
            case ast.ClassDef():
                yield from _parts(node.body)
                for part in (*node.bases, *node.keywords, *node.decorator_list):
                    yield "", part
            case ast.Import() | ast.ImportFrom():
                for alias in node.names:
                    yield alias.asname or alias.name.partition(".")[0], alias
            case _:
                yield "", node


def _said(node: ast.AST) -> Iterator[str]:
    for part in ast.walk(node):
        match part:
            case ast.Name():
                yield part.id
            case ast.Attribute():
                yield part.attr
            case ast.alias():
                yield from part.name.split(".")
            case ast.Constant(value=str()):
                yield str(part.value)
            case _:
                pass
