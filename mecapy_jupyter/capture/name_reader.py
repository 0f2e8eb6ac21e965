"""Follows the straight parts of a cell's syntax tree: names, definitions, imports, calls, strings.
The bodies of functions are asked of the compiler (`code_uses`).
"""

from __future__ import annotations
import __future__

import ast
from collections.abc import Iterable
from types import CodeType
from typing import cast

from mecapy_jupyter.capture.code_in_strings import NAMESPACES, Hidden, hidden_in, namespace_key
from mecapy_jupyter.capture.code_uses import LOOKS_UP, Uses, uses
from mecapy_jupyter.capture.flow import State, joined

Comprehension = ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp
Nodes = Iterable[ast.AST | None]


class NameReader(ast.NodeVisitor):
    """`surely`: names read for certain, with the line and column, and how many entries of `met`
    came before the last call ahead of it. `met`: in order, the names that are loaded, and `import
    a.b` for imports. `looks`: builtins loaded that look names up. `words` may be names. `unseen`,
    `dynamic`: as in `names.Names`.
    """

    def __init__(self, tree: ast.Module, code: CodeType) -> None:
        self.uses, self.words, self.stars, self.looks = Uses(), set[str](), set[str](), set[str]()
        self.met, self.dynamic, self.unseen = dict[str, None](), False, False
        self.surely = dict[str, tuple[int, int, int]]()
        self._lazy = code.co_flags & __future__.annotations.compiler_flag
        self._state, self._log = State(), list[tuple[bool, str]]()
        self._functions, self._exits = dict[str, list[Uses]](), list[set[str]]()
        self._set_by_functions = set[str]()
        self._loops = list[tuple[list[State], list[State]]]()  # breaks, continues
        self._class, self._prefix = "", ""
        self._types: frozenset[str] = frozenset()
        self._classes = self._guards = self._called = 0
        self._each(tree.body)
        later = {name for each in self._functions.values() for one in each for name in one.reads}
        self.uses.reads |= later - self._state.bound if self._state.alive else later
        ends = [*self._exits, *([self._state.read] if self._state.alive else [])]
        sure = (set[str].intersection(*ends) if ends else set[str]()) - self._set_by_functions
        self.surely = {name: place for name, place in self.surely.items() if name in sure}

    def generic_visit(self, node: ast.AST) -> None:
        self._each(ast.iter_child_nodes(node))

    def _each(self, nodes: Nodes) -> None:
        for node in nodes:
            if node is not None:
                self.visit(node)

    def _guarded(self, nodes: Nodes) -> None:
        """Nothing there is certain to run, or to fail the cell."""
        self._guards += 1
        self._each(nodes)
        self._guards -= 1

    def _ways(self, *ways: Nodes) -> None:
        """One of these runs."""
        start, ends = self._state, list[State]()
        for way in ways:
            self._state = start.copy()
            self._each(way)
            ends.append(self._state)
        self._state = joined(*ends)

    # What happens to a name

    def visit_Name(self, node: ast.Name) -> None:
        name, own = node.id, self._prefix + node.id
        if isinstance(node.ctx, ast.Store):
            self._store(name)
        elif isinstance(node.ctx, ast.Del):
            self._surely(node)
            self._delete(name)
        elif own not in self._state.bound or not self._prefix:
            self.uses.mentions.add(name)
            if name in LOOKS_UP | NAMESPACES and name not in self._state.bound:
                self.looks.add(name)
            self._surely(node)
            self._run(Uses({name}))

    def _surely(self, node: ast.Name) -> None:
        name, state = node.id, self._state
        seen = name in state.read or name in state.stored
        if state.alive and not self._guards and not seen:
            state.read.add(name)
            self.surely.setdefault(name, (node.lineno, node.col_offset, self._called))

    def _store(self, name: str, keep: bool = True) -> None:
        """`keep`: it may be there when the cell has ended."""
        if keep and not self._prefix:
            self.uses.binds.add(name)
        self._state.bound.add(self._prefix + name)
        self._log.append((True, self._prefix + name))
        if name not in self._state.read:
            self._state.stored.add(self._prefix + name)

    def _delete(self, name: str) -> None:
        if not self._prefix:
            self.uses.deletes.add(name)
        self._state.bound.discard(self._prefix + name)
        self._log.append((False, self._prefix + name))

    def _run(self, made: Uses) -> None:
        """Code may run that reads these names, and the cell's functions of these names with it."""
        todo, done = [made], list[Uses]()
        while todo:
            done.append(code := todo.pop())
            if code.leaves:
                self._leave()
            for name in code.reads:
                if name not in self._state.bound:
                    self.uses.reads.add(name)
                    self.met[name] = None
                todo += (each for each in self._functions.get(name, ()) if each not in done)

    def _call(self, *nodes: ast.AST) -> None:
        """After these, code of anything met so far may run."""
        self._each(nodes)
        self._called = len(self.met)

    def visit_Await(self, node: ast.Await) -> None:
        self._call(node.value)

    def visit_withitem(self, node: ast.withitem) -> None:
        self._call(node.context_expr)
        self._each([node.optional_vars])

    def _leave(self) -> None:
        if self._state.alive:
            self._exits.append(self._state.read.copy())

    # Functions, classes, imports

    def _made(self, node: ast.stmt | ast.expr) -> tuple[Uses, Uses]:
        """A function, comprehension or alias: what making it uses, and what running it may."""
        body: list[ast.stmt] = [ast.Expr(node) if isinstance(node, ast.expr) else node]
        if self._prefix:  # private names are called otherwise in a class
            body = [ast.ClassDef(self._class, [], [], body, [])]
        tree, flags = ast.Module(body, []), self._lazy | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        code = compile(ast.fix_missing_locations(tree), "<cell>", "exec", flags, dont_inherit=True)
        inner = [part for part in code.co_consts if isinstance(part, CodeType)]
        if self._prefix:
            code, inner = inner[0], [c for c in inner[0].co_consts if isinstance(c, CodeType)]
        making, running = Uses(), Uses()
        texts = tuple(part if isinstance(part, str) else None for part in code.co_consts)
        making.include(uses(code.replace(co_consts=texts)))
        making.reads -= {name for name in making.reads if self._prefix + name in self._state.bound}
        for part in inner:
            running.include(uses(part))
        if self._prefix:  # methods run when their class has its name; its types are its own
            running.reads -= {self._class, *self._types}
        for part in (making, running):
            self.uses.include(part, runs=False)
            self._set_by_functions |= part.binds | part.deletes
            self.looks |= part.reads & LOOKS_UP
        self.met |= dict.fromkeys(f"import {module}" for module in running.imports)
        return making, running

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        decorators, node.decorator_list = node.decorator_list, []
        self._each([*decorators, *node.args.defaults, *node.args.kw_defaults])
        making, running = self._made(node)
        self._run(making)
        if decorators or self._prefix:
            self._run(running)
            self._call()
        else:  # only bound to its name, it runs when that is loaded
            self._functions.setdefault(node.name, []).append(running)
        node.decorator_list = decorators
        self._store(node.name)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self._each([*node.args.defaults, *node.args.kw_defaults])
        self._run(self._made(node)[1])

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._each(node.decorator_list)
        outer, self._classes = (self._class, self._prefix, self._types), self._classes + 1
        self._class, self._prefix = node.name, f"{self._classes}."
        parameters = cast("list[ast.AST]", getattr(node, "type_params", []))
        self._types = frozenset(str(getattr(each, "name", "")) for each in parameters)
        self._state.bound |= {self._prefix + name for name in self._types}
        self._each([*node.bases, *node.keywords])
        self._guarded(node.body)
        self._class, self._prefix, self._types = outer
        self._call()
        self._store(node.name)

    def visit_Global(self, node: ast.Global) -> None:
        if self._prefix:  # what a class body binds is the notebook's
            self.uses.binds.update(node.names)
            self._set_by_functions.update(node.names)

    def visit_TypeAlias(self, node: ast.stmt) -> None:
        self._run(self._made(node)[1])
        self.visit(next(ast.iter_child_nodes(node)))

    def _comprehension(self, node: Comprehension) -> None:
        first, prefix = node.generators[0], self._prefix
        self._call(first.iter)
        given, first.iter, self._prefix = first.iter, ast.Tuple([], ast.Load()), ""
        for part in self._made(node):  # it sees no names of a class around it, but in `given`
            self._run(part)
        first.iter, self._prefix = given, prefix
        inner = (part for part in ast.walk(node) if isinstance(part, ast.NamedExpr))
        self._ways((part.target for part in inner), ())

    visit_ListComp = visit_SetComp = visit_GeneratorExp = visit_DictComp = _comprehension

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self._import(alias.name, alias.asname or alias.name.partition(".")[0])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        self.uses.imports.add(module)
        for alias in node.names:
            if alias.name == "*":
                self.stars.add(module)
            else:
                self._import(f"{module}.{alias.name}", alias.asname or alias.name)

    def _import(self, module: str, name: str) -> None:
        self.uses.imports.add(module)
        self.uses.mentions.update(module.split("."))
        self.met[f"import {module}"] = None
        self._store(name)

    # The order of evaluation

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.visit(node.value)
        self.uses.mentions.add(node.attr)

    def _value_first(self, node: ast.AST) -> None:
        self._each(reversed([*ast.iter_child_nodes(node)]))

    visit_Assign = visit_NamedExpr = _value_first

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self.visit(ast.copy_location(ast.Name(node.target.id, ast.Load()), node.target))
        self._value_first(node)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value or not isinstance(node.target, ast.Name):
            self._each([node.value, node.target])
        if not self._lazy:
            self._guarded([node.annotation])

    # Calls, and names in strings

    def visit(self, node: ast.AST) -> None:
        if isinstance(node, ast.expr) and (name := namespace_key(node)):
            noted = self.words
            if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
                self.unseen = True
                stores = isinstance(node.ctx, ast.Store)
                noted = self.uses.binds if stores else self.uses.deletes
            noted.add(name)
            self._each(node.args[1:] if isinstance(node, ast.Call) else ())
        else:
            super().visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        hidden = hidden_in(node)
        if hidden:
            self._hidden(hidden)
        elif node.args and isinstance(node.func, ast.Name) and node.func.id in NAMESPACES:
            self._run(Uses({node.func.id}))  # of its argument, not of the notebook
            self._each([*node.args, *node.keywords])
        else:
            self.generic_visit(node)
        self._call()

    def _hidden(self, hidden: Hidden) -> None:
        self.words |= hidden.words
        self.uses.binds |= hidden.binds
        self._set_by_functions |= hidden.binds
        self.dynamic |= hidden.dynamic
        self.unseen |= hidden.unseen or bool(self._prefix and hidden.here)
        outer, self._prefix = self._prefix, self._prefix or "apart."
        self._guarded(hidden.apart)
        self._prefix = outer
        (self._guarded if outer else self._each)(hidden.here)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str):
            self.uses.texts.add(node.value)
