"""A workflow as a picture (SVG, drawn here) and as text: its tasks in layers, parents before their
children.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mecapy_jupyter.shared.units import clean, escaped
from mecapy_jupyter.wire import WorkflowStatus, WorkflowTask

MOST_DRAWN = 300
_WIDTH, _HEIGHT, _GAP_X, _GAP_Y, _NAME_CHARS = 132, 26, 46, 12, 18
_COLOURS = {
    "blocked": "#9aa0a6",
    "queued": "#5f8dd3",
    "running": "#1a73e8",
    "completed": "#2e7d32",
    "failed": "#c62828",
    "cancelled": "#8d6e63",
}


@dataclass(frozen=True, slots=True)
class Picture:
    """Notebooks show it; `svg` is its text, to be saved."""

    svg: str
    text: str

    def _repr_svg_(self) -> str:
        return self.svg

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__


def picture(workflow: WorkflowStatus) -> Picture:
    layers = layers_of(workflow.tasks)
    return Picture(_svg(layers), _text(layers))


def headline(workflow: WorkflowStatus) -> str:
    """`nightly: running, 3 of 7 completed (1 failed)`."""
    counts, total = dict(workflow.counts), sum(workflow.counts.values())
    done = counts.pop("completed", 0)
    rest = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    more = f" ({rest})" if rest else ""
    return f"{clean(workflow.name, 60)}: {workflow.status}, {done} of {total} completed{more}"


def layers_of(tasks: Sequence[WorkflowTask]) -> list[list[WorkflowTask]]:
    """Each task in the layer after the last of its parents; parents elsewhere do not count."""
    by_id = {task.task_id: task for task in tasks}
    depth = dict[str, int]()
    for task in tasks:
        waiting = [task]
        while waiting:
            parents = [by_id[id] for id in waiting[-1].parents if id in by_id]
            if missing := [parent for parent in parents if parent.task_id not in depth]:
                waiting += missing
                continue
            known = [depth[parent.task_id] for parent in parents]
            depth[waiting.pop().task_id] = 1 + max(known, default=-1)
    layers: list[list[WorkflowTask]] = [[] for _ in range(1 + max(depth.values(), default=-1))]
    for task in tasks:
        layers[depth[task.task_id]].append(task)
    return layers


def _text(layers: Sequence[Sequence[WorkflowTask]]) -> str:
    names = {task.task_id: _name(task) for layer in layers for task in layer}
    lines = [
        f"{_name(task)} [{task.status}]"
        + (f" ← {', '.join(names[id] for id in task.parents if id in names)}" * bool(task.parents))
        for layer in layers
        for task in layer
    ]
    return "\n".join(lines) or "no tasks yet"


def _svg(layers: Sequence[Sequence[WorkflowTask]]) -> str:
    if sum(map(len, layers)) > MOST_DRAWN:
        return _drawing(_WIDTH * 4, _HEIGHT, [_note(f"more than {MOST_DRAWN} tasks: see print()")])
    tallest = max(map(len, layers), default=1)
    places = dict[str, tuple[float, float]]()
    for at, layer in enumerate(layers):
        above = (tallest - len(layer)) * (_HEIGHT + _GAP_Y) / 2
        for row, task in enumerate(layer):
            places[task.task_id] = at * (_WIDTH + _GAP_X), above + row * (_HEIGHT + _GAP_Y)
    tasks = [task for layer in layers for task in layer]
    edges = [_edge(places, task, parent) for task in tasks for parent in task.parents]
    boxes = [_box(places[task.task_id], task) for task in tasks]
    width = max(len(layers), 1) * (_WIDTH + _GAP_X) - _GAP_X
    return _drawing(width, tallest * (_HEIGHT + _GAP_Y) - _GAP_Y, edges + boxes)


def _drawing(width: float, height: float, parts: Sequence[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width + 4:g}" height="{height + 4:g}" '
        f'viewBox="-2 -2 {width + 4:g} {height + 4:g}" font-family="system-ui, sans-serif" '
        f'font-size="12">{"".join(parts)}</svg>'
    )


def _box(place: tuple[float, float], task: WorkflowTask) -> str:
    x, y = place
    colour = _COLOURS.get(task.status, "#9aa0a6")
    return (
        f"<g><title>{escaped(f'{_name(task)}: {task.status} ({task.task_id[:8]})')}</title>"
        f'<rect x="{x:g}" y="{y:g}" width="{_WIDTH}" height="{_HEIGHT}" rx="5" fill="{colour}"/>'
        f'<text x="{x + _WIDTH / 2:g}" y="{y + _HEIGHT / 2 + 4:g}" text-anchor="middle" '
        f'fill="#fff">{escaped(clean(_name(task), _NAME_CHARS))}</text></g>'
    )


def _edge(places: Mapping[str, tuple[float, float]], task: WorkflowTask, parent: str) -> str:
    if parent not in places:
        return ""
    (x0, y0), (x1, y1) = places[parent], places[task.task_id]
    x0, y0, y1, bend = x0 + _WIDTH, y0 + _HEIGHT / 2, y1 + _HEIGHT / 2, _GAP_X / 2
    return (
        f'<path d="M{x0:g} {y0:g} C{x0 + bend:g} {y0:g} {x1 - bend:g} {y1:g} {x1:g} {y1:g}" '
        f'fill="none" stroke="#9aa0a6" stroke-width="1.5"/>'
    )


def _note(text: str) -> str:
    return f'<text x="0" y="17" fill="currentColor">{escaped(text)}</text>'


def _name(task: WorkflowTask) -> str:
    return task.name or task.task_id[:8]
