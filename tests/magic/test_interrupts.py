"""An interrupt ends the cell and its task, whenever it comes: nothing is left that runs and that
nobody holds.
"""

from __future__ import annotations

import random
import time
from typing import Any

import pytest

from mecapy_jupyter import wire
from mecapy_jupyter.client.http import Gateway

from .conftest import CELL_S, Kernel

ENDLESS = "import time\nkept = {number}\nwhile True: time.sleep(0.02)"

SAYS_WHEN_IT_BEGINS = """
magics = get_ipython().magics_manager.magics["cell"]
plain = magics["mecapy"]
def begun(line, body, magic=plain):
    print("begun", flush=True)
    magic(line, body)
magics["mecapy"] = begun
"""


def left(stack: Any, name: str) -> list[str]:
    """How the tasks of that name ended, once all have; one that would run on fails the test by its
    timeout.
    """
    gateway = Gateway(stack.url, stack.token)
    found: Any = gateway.get("/tasks", name=name, limit=100)
    return [
        next(event.type for event in gateway.events(task["task_id"]) if event.type in wire.FINAL)
        for task in found["tasks"]
    ]


def interrupted(kernel: Kernel, code: str, after_s: float, says: str = "begun") -> dict[str, Any]:
    """The reply to a cell that is interrupted so long after it `says` that. (Before it has begun, a
    kernel ignores interrupts, or loses the cell.)

    The kernel has run `SAYS_WHEN_IT_BEGINS`.
    """
    client = kernel.client
    asked = client.execute(
        code, stop_on_error=False
    )  # else what is asked right after an error is not run
    said = ""
    while says not in said:
        told = client.get_iopub_msg(timeout=CELL_S)
        if told["parent_header"].get("msg_id") == asked and told["msg_type"] == "stream":
            said += told["content"]["text"]
    time.sleep(after_s)
    kernel.manager.interrupt_kernel()
    while (reply := client.get_shell_msg(timeout=CELL_S))["parent_header"].get("msg_id") != asked:
        pass
    return reply["content"]


@pytest.mark.parametrize("option", ["", "--bg"])
def test_between_submission_and_its_answer(kernel: Kernel, running_stack: Any, option: str) -> None:
    """The task is in the queue and its id not yet known here: the interrupt waits for it, and the
    task ends.
    """
    name = f"caught{option}"
    kernel.run("""
import os, signal
from mecapy_jupyter.client.http import Gateway
submit = Gateway.submit
def struck(self, body, key):
    told = submit(self, body, key)
    os.kill(os.getpid(), signal.SIGINT)
    return told
Gateway.submit = struck
""")
    ran = kernel.run(f"%%mecapy {option} --name {name} --timeout 60\n{ENDLESS.format(number=1)}")
    kernel.run("Gateway.submit = submit")
    assert ran.error == "TaskCancelled" and "run it again" in ran.text
    assert left(running_stack, name) == [wire.CANCELLED]


def test_while_it_is_verified(kernel: Kernel, running_stack: Any) -> None:
    """Its task ends, and the cell does not run here."""
    kernel.run(f"kept = 0\n{SAYS_WHEN_IT_BEGINS}")
    try:
        code = f"%%mecapy --verify --name verified --timeout 60\n{ENDLESS.format(number=1)}"
        reply = interrupted(kernel, code, 2.0)
    finally:
        kernel.run('magics["mecapy"] = plain')
    assert reply["status"] == "error" and kernel.value("kept") == "0"
    assert set(left(running_stack, "verified")) <= {wire.CANCELLED}


@pytest.mark.parametrize(
    "error", ["problems.BlobsMissing('lost')", "errors.ConnectionFailed('broken')"]
)
def test_in_a_submission_that_fails(kernel: Kernel, running_stack: Any, error: str) -> None:
    """Also where the failure leads to another try: the cell ends, and no task begins."""
    kernel.run(f"""
import os, signal
from mecapy_jupyter.client import problems
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.shared import errors
submit = Gateway.submit
def struck(self, body, key):
    Gateway.submit = submit
    os.kill(os.getpid(), signal.SIGINT)
    raise {error}
Gateway.submit = struck
""")
    ran = kernel.run(f"%%mecapy --name refused --timeout 60\n{ENDLESS.format(number=1)}")
    assert ran.error == "TaskCancelled" and "run it again" in ran.text
    assert left(running_stack, "refused") == []


@pytest.mark.parametrize("option", ["", "--bg"])
@pytest.mark.parametrize("where", ["finalizer", "generator", "callback", "file"])
def test_where_python_discards_it(
    kernel: Kernel, running_stack: Any, where: str, option: str
) -> None:
    """In a finalizer, a closing generator, a weak reference's callback or the close of a freed file
    object, out of which no exception comes: the cell ends nevertheless, and its task, if there was
    one by then.
    """
    name = f"{where}{option}"
    kernel.run(f"""
import io, os, signal, weakref
from mecapy_jupyter.client import blob_transfer
send = blob_transfer.send
def interrupt(*_):
    os.kill(os.getpid(), signal.SIGINT)
    for _ in range(3):
        pass
class Finalizer:
    __del__ = interrupt
class Dropped:
    pass
class File(io.IOBase):
    def close(self):
        if not self.closed:
            interrupt()
        super().close()
def generator():
    try:
        yield
    finally:
        interrupt()
def struck(*given):
    if "{where}" == "finalizer":
        Finalizer()
    elif "{where}" == "file":
        File()
    elif "{where}" == "generator":
        next(generator())
    else:
        dropped = Dropped()
        kept = weakref.ref(dropped, interrupt)
        del dropped
    return send(*given)
blob_transfer.send = struck
""")
    ran = kernel.run(f"%%mecapy {option} --name {name} --timeout 60\n{ENDLESS.format(number=1)}")
    kernel.run("blob_transfer.send = send")
    assert ran.error == "TaskCancelled" and set(left(running_stack, name)) <= {wire.CANCELLED}
    assert "Exception ignored" not in ran.stderr


def test_at_any_moment(kernel: Kernel, running_stack: Any) -> None:
    """While it is captured, sent, queued, begun or running: the cell ends as cancelled, and so has
    its task, if there was one by then.
    """
    chance = random.Random(4)
    kernel.run(SAYS_WHEN_IT_BEGINS)
    try:
        for number in range(12):
            code = (
                f"%%mecapy --name anytime --timeout 60 --progress-after "
                f"0.1\n{ENDLESS.format(number=number)}"
            )
            reply = interrupted(kernel, code, chance.random() ** 2 * 0.4)
            assert reply["status"] == "error" and reply["ename"] in (
                "TaskCancelled",
                "KeyboardInterrupt",
            ), reply
    finally:
        kernel.run('magics["mecapy"] = plain')
    assert set(left(running_stack, "anytime")) <= {wire.CANCELLED}
