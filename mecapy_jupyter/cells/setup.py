"""`%%mecapy --setup`: runs a cell here and keeps it for every later task of this notebook."""

from __future__ import annotations

from mecapy_jupyter.capture import names
from mecapy_jupyter.cells import magic_options
from mecapy_jupyter.cells.every_cell import EveryCell
from mecapy_jupyter.cells.ipython_types import Shell
from mecapy_jupyter.client import requirements
from mecapy_jupyter.hooks.ipython import show_as
from mecapy_jupyter.travel.environment import setup_cells


def run(shell: Shell, body: str) -> None:
    """It shows its output here. If it fails here, it is not kept."""
    done = shell.run_cell(body, store_history=False)
    error = done.error_before_exec or done.error_in_exec
    if error is not None:
        raise show_as(error, ())  # the error has been shown
    reads = names.analyse(shell.transform_cell(body), shell.user_ns).reads
    setup_cells.add(body, frozenset(name for name in reads if name in shell.user_ns))


def listed() -> str:
    """The text of `%mecapy setup`."""
    cells = setup_cells.all_cells()
    if not cells:
        return "no setup cells; `%%mecapy --setup` runs a cell here and before every later task"
    return "\n".join(
        f"[{cell.number}] {line}" if number == 0 else f"    {line}"
        for cell in cells
        for number, line in enumerate(cell.text.strip().splitlines())
    )


def about() -> str:
    """The settings of every task of this notebook, for the sidebar."""
    every = EveryCell.active
    machine = magic_options.parsed(every.options if every else "").machine
    packages = ", ".join(requirements.default) or "none of its own"
    count = len(setup_cells.all_cells())
    lines = (
        f"every cell goes to a worker {every.options}".rstrip() if every else "",
        f"packages: {packages}",
        f"class of machines: {machine or 'as each cell asks'}",
        f"{count} setup cell{'' if count == 1 else 's'}" if count else "no setup cells",
        listed() if count else "",
    )
    return "\n".join(filter(None, lines))


def cleared(number: str = "") -> str:
    """The answer of `%mecapy setup clear [N]`."""
    removed = setup_cells.clear(int(number) if number else None)
    plural = "" if removed == 1 else "s"
    return f"{removed} setup cell{plural} removed; their settings in this kernel stay"
