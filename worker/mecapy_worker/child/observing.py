"""Observes a task whose result is to be kept. The hooks are imported only for such a task, because
what every child loads costs it pages.
"""

from __future__ import annotations

from collections.abc import Callable

from mecapy_jupyter.travel.environment import process_state


def install() -> None:
    """Before the inputs are opened, which name functions of `time`."""
    from mecapy_worker.child.hooks import clock_and_chance

    clock_and_chance.install()


def observed(
    run: Callable[[], object], declared: tuple[str, ...], root: str
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Run the cell. Returns why its result is not kept, and whose random state it read. `root`: the
    task's folder, of which the `declared` files may be read.
    """
    from mecapy_worker.child import observation
    from mecapy_worker.child.hooks import clock_and_chance, opened_paths

    opened_paths.install(declared, root)
    clock_and_chance.begin()
    observation.begin()
    run()
    observation.end()
    drew = clock_and_chance.drew(process_state.taken())
    opened_paths.end()
    return observation.reasons(), drew
