"""What MecaPy itself writes under a cell: the quiet mark of a short one, the block's place above
the output, its help.
"""

from __future__ import annotations

import re
from typing import Any

from .conftest import CELL_S, Kernel


def outputs(kernel: Kernel, code: str) -> list[dict[str, Any]]:
    """What the page shows at the end: displays by their place, with their updates."""
    shown = list[dict[str, Any]]()

    def hook(message: dict[str, Any]) -> None:
        kind, content = message["header"]["msg_type"], message["content"]
        if kind == "stream":
            shown.append({"text/plain": content["text"]})
        elif kind == "display_data":
            shown.append({**content["data"], **content["transient"]})
        elif kind == "update_display_data":
            name = content["transient"]["display_id"]
            (place,) = [one for one in shown if one.get("display_id") == name]
            place.update(content["data"])

    kernel.client.execute_interactive(code, timeout=CELL_S, output_hook=hook, allow_stdin=False)
    return shown


def test_a_short_cell_has_one_quiet_mark(kernel: Kernel) -> None:
    """It says where the cell ran and how long, above the output; `%mecapy config mark=off` turns it
    off, and so does `--quiet`.
    """
    mark, printed = outputs(kernel, "%%mecapy --progress-after 60\nprint('hello')")
    assert mark["text/plain"].startswith("✔ pool · ") and mark["text/plain"].endswith(" s")
    assert printed["text/plain"] == "hello\n"
    assert len(outputs(kernel, "%%mecapy --quiet\nx = 1")) == 0
    kernel.run("%mecapy config mark=off")
    try:
        assert outputs(kernel, "%%mecapy --progress-after 60\nx = 1") == []
    finally:
        kernel.run("%mecapy config mark=")


def test_the_block_stands_above_the_output(kernel: Kernel) -> None:
    """Also where the cell printed before the block appeared."""
    cell = "%%mecapy --progress-after 0.6\nimport time\nprint('first')\ntime.sleep(1.5)\nprint(2)"
    block, *printed = outputs(kernel, cell)
    assert re.match(r"✔ \d:\d\d", block["text/plain"])
    assert "".join(one["text/plain"] for one in printed) == "first\n2\n"
    cleared = outputs(kernel, cell.replace("time.sleep", "display('a'); time.sleep"))
    assert re.match(r"✔ \d:\d\d", cleared[0]["text/plain"])


def test_help_alone(kernel: Kernel) -> None:
    """`%%mecapy --help` needs no cell below it; `%%mecapy?` shows the options too."""
    assert "--timeout 2h" in kernel.run("%%mecapy --help").stdout
    reply = kernel.run("%%mecapy?").reply
    assert "--timeout 2h" in reply["payload"][0]["data"]["text/plain"]


def test_keep_that_matches_nothing(kernel: Kernel) -> None:
    """It is said, with the pattern; one that matches is not."""
    ran = kernel.run(
        "%%mecapy --keep out/*.vtk,./a/**/*.txt\nimport os\nos.makedirs('a/b')\n"
        "open('a/b/c.txt', 'w').close()"
    )
    assert ran.stderr == "mecapy: `--keep out/*.vtk`: the cell left no such file\n"


def test_a_cancel_is_said_once(kernel: Kernel) -> None:
    """The block's line tells it; the error below has its name alone."""
    ran = kernel.run(
        "%%mecapy --progress-after 0 --name told_once\nimport os, signal, time\n"
        "from mecapy_jupyter import progress\nraise KeyboardInterrupt"
    )
    assert ran.displays[-1]["data"]["text/plain"].startswith("■ cancelled")
    assert ran.text == "TaskCancelled"
