"""What a task must not be able to do to the worker, to its neighbour, or to the machine: each tried
for real, and refused by the kernel.

All of a table run in one task, for none of them ends it.
"""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from typing import Any

import pytest

from mecapy_worker.sandbox import call_numbers

from .attacks import CALLS, FILES, NOT_FOR_ROOT, RUN, STOPPED, TABLE, TOOLS, WHICH
from .ground import Ground

if sys.platform != "linux":
    pytest.skip("nothing confines a child here", allow_module_level=True)


@pytest.fixture(scope="module")
def told(here: Ground, targets: dict[str, Any]) -> dict[str, str]:
    """What became of each attack."""
    task = here.run(RUN + "said", inputs=targets | {"calls": CALLS, "attacks": TABLE})
    assert task["status"] == "completed", task
    here.unharmed()
    return task["result"]


@pytest.mark.parametrize("name", TABLE)
def test_is_refused(told: dict[str, str], name: str) -> None:
    """The attack ended with an error of the kernel; the processes and files of others are not
    there at all.
    """
    nothing_there = {"ENOENT"} if name in FILES or "openpty" in TABLE[name] else set[str]()
    assert told[name] in STOPPED | nothing_there, told[name]


def test_attacks_are_real(here: Ground, targets: dict[str, Any]) -> None:
    """Root, unconfined, is refused none of them: being stopped means something. What this kernel
    does not have (ENOSYS) is no proof.
    """
    table = {name: code for name, code in TABLE.items() if name not in NOT_FOR_ROOT}
    script = (
        f"globals().update({targets | {'calls': CALLS, 'attacks': table}!r})\n{RUN}\nimport "
        f"json; print(json.dumps(said))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=here.folder / "tmp",
        check=True,
    )
    refused = {
        name: how
        for name, how in json.loads(done.stdout.splitlines()[-1]).items()
        if how in ("EPERM", "EACCES", "ESRCH")
    }
    assert refused == {}
    here.unharmed()


def test_every_refused_call(here: Ground) -> None:
    """Every call of the filter's table is refused, whatever its arguments."""
    code = (
        TOOLS
        + "\nsaid = {}\nfor name in calls:\n    try: call(name); said[name] = 'done'\n    except "
        "OSError as error: said[name] = error.errno\nsaid"
    )
    numbers = {
        name: number[WHICH]
        for name, number in call_numbers.NUMBERS.items()
        if number[WHICH] is not None
    }
    said = here.run(code, inputs={"calls": numbers})["result"]
    assert {name: how for name, how in said.items() if how not in (errno.EPERM, errno.ENOSYS)} == {}
