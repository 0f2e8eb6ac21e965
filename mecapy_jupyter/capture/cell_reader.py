"""Follows a cell's syntax tree in execution order: which names are read before the cell has
certainly bound them, and which are certainly read.
"""

from __future__ import annotations

import ast

from mecapy_jupyter.capture.flow import interrupted, joined
from mecapy_jupyter.capture.name_reader import NameReader, Nodes


class CellReader(NameReader):
    """Adds the control flow of a cell: branches, loops, errors."""

    def visit_If(self, node: ast.If) -> None:
        self._branch(node.test, node.body, node.orelse)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self._branch(node.test, [node.body], [node.orelse])

    def _branch(self, test: ast.expr, *ways: Nodes) -> None:
        self.visit(test)
        self._ways(*([ways[not test.value]] if isinstance(test, ast.Constant) else ways))

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        self.visit(node.values[0])
        self._ways(node.values[1:], ())

    def visit_Compare(self, node: ast.Compare) -> None:
        self._each([node.left, node.comparators[0]])
        self._ways(node.comparators[1:], ())

    def visit_Match(self, node: ast.Match) -> None:
        self.visit(node.subject)
        last = node.cases[-1]
        any_value = isinstance(last.pattern, ast.MatchAs) and not (
            last.pattern.pattern or last.guard
        )
        self._guards += 1
        self._ways(*([case] for case in node.cases), *([] if any_value else [()]))
        self._guards -= 1

    def _pattern(self, node: ast.MatchAs | ast.MatchStar | ast.MatchMapping) -> None:
        self.generic_visit(node)
        if name := node.rest if isinstance(node, ast.MatchMapping) else node.name:
            self._store(name)

    visit_MatchAs = visit_MatchStar = visit_MatchMapping = _pattern

    def _loop(self, node: ast.For | ast.AsyncFor | ast.While) -> None:
        test = node.test if isinstance(node, ast.While) else None
        if not isinstance(node, ast.While):
            self._call(node.iter)
        start = entry = self._state
        while True:
            self._state, functions = start.copy(), len(self._functions)
            self._loops.append(([], []))
            self._each([test])
            out = self._state.copy()
            out.alive &= not (isinstance(test, ast.Constant) and test.value)
            self._each([None if isinstance(node, ast.While) else node.target, *node.body])
            breaks, continues = self._loops.pop()
            again = joined(entry, self._state, *continues)
            if again.bound >= start.bound and functions == len(self._functions):
                break
            start = again  # in the second round, less is bound and more functions exist
        out.stored |= again.stored
        if entry.alive and not out.alive and not breaks:
            self._exits.append(entry.read)  # an endless loop
        self._state = out
        self._each(node.orelse)
        self._state = joined(self._state, *breaks)

    visit_For = visit_AsyncFor = visit_While = _loop

    def visit_Break(self, node: ast.Break | ast.Continue) -> None:
        self._loops[-1][isinstance(node, ast.Continue)].append(self._state)
        self._state = self._state.dead()

    visit_Continue = visit_Break

    def visit_Raise(self, node: ast.Raise) -> None:
        self.generic_visit(node)
        self._leave()
        self._state = self._state.dead()

    def visit_Assert(self, node: ast.Assert) -> None:
        self.visit(node.test)
        self._ways([ast.Raise(node.msg)], ())

    def visit_BinOp(self, node: ast.BinOp) -> None:
        self.generic_visit(node)
        by = node.right if isinstance(node.op, ast.Div | ast.FloorDiv | ast.Mod) else None
        if isinstance(by, ast.Constant) and not by.value:
            self._leave()  # a deliberate division by zero

    def visit_Try(self, node: ast.Try | ast.TryStar) -> None:
        entry, mark = self._state.copy(), len(self._log)
        self._guards += 1
        self._each(node.body)
        failed = interrupted(entry, self._log[mark:])
        self._each(node.orelse)
        after, self._state = self._state, failed
        if node.handlers:
            self._ways(*([handler] for handler in node.handlers))
            after = joined(after, self._state)
        self._state = joined(after, interrupted(entry, self._log[mark:]))
        self._each(node.finalbody)
        self._guards -= 1
        self._state = after
        self._each(node.finalbody)

    visit_TryStar = visit_Try

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> None:
        self._each([node.type])
        if node.name:
            self._store(node.name, keep=False)
        self._each(node.body)
        if node.name:
            self._delete(node.name)

    def visit_With(self, node: ast.With | ast.AsyncWith) -> None:
        first, *others = node.items
        self._call(first.context_expr)
        entry, mark = self._state.copy(), len(self._log)
        self._guarded([first.optional_vars, *others, *node.body])
        self._state = joined(self._state, interrupted(entry, self._log[mark:]))

    visit_AsyncWith = visit_With
