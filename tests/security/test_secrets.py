"""What a child must never hold or find: the worker's secrets, what a task before it left, and
anybody who opens its pickles.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from mecapy_jupyter import wire
from mecapy_jupyter.travel.environment import prelude
from mecapy_jupyter.travel.pickling import payload
from mecapy_worker.shared import libc

from .ground import CANARY, Ground

# Looks for the canaries with every bit turned over, so that the search does not find itself.
SEARCH = """
import os
TURN = bytes(255 - n for n in range(256))
needles = [bytes.fromhex(text) for text in needles]
hits, looked = [], 0
def look(place, data):
    global looked
    looked += len(data)
    turned = data.translate(TURN)
    hits.extend(place for needle in needles if needle in turned)
def memory(pid):
    with open(f'/proc/{pid}/maps') as maps, open(f'/proc/{pid}/mem', 'rb', 0) as mem:
        for line in maps.read().splitlines():
            start, end = (int(n, 16) for n in line.split()[0].split('-'))
            if 'r' not in line.split()[1] or '[v' in line: continue
            for at in range(start, end, 1 << 20):
                try:
                    mem.seek(at)
                    look(f'{pid} memory', mem.read(min(1 << 20, end - at)))
                except (OSError, OverflowError): break
for pid in filter(str.isdigit, os.listdir('/proc')):
    for name in ('environ', 'cmdline', 'status', 'stat', 'comm', 'auxv',
                 'mountinfo', 'cgroup', 'stack', 'wchan'):
        try: look(f'{pid} {name}', open(f'/proc/{pid}/{name}', 'rb').read())
        except OSError: pass
    try:
        for fd in os.listdir(f'/proc/{pid}/fd'):
            look(f'{pid} fd', os.readlink(f'/proc/{pid}/fd/{fd}').encode())
    except OSError: pass
    try: memory(pid)
    except OSError: pass
found = [sorted(set(hits)), looked]
"""


def needles(here: Ground) -> list[str]:
    """All secrets the worker was started with, turned over."""
    return [
        bytes(255 - byte for byte in secret.encode()).hex() for secret in (CANARY, *here.passwords)
    ]


def test_no_secret_is_within_reach(here: Ground) -> None:
    """A child finds no canary in its memory, in its descriptors, or in anything it can read of
    /proc; root finds them in the worker.
    """
    task = here.run(SEARCH + "found", inputs={"needles": needles(here)}, timeout=230)
    assert task["status"] == "completed", task
    hits, looked = task["result"]
    assert hits == [] and looked > 10_000_000
    control = (
        f"import os\nneedles = {needles(here)}\nos.listdir = lambda p, o=os.listdir: "
        f"['{here.worker.pid}'] if p == '/proc' else o(p)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", control + SEARCH + "print(found[0])"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert f"{here.worker.pid} memory" in done.stdout
    here.unharmed()


def test_the_worker_hides_its_environment(here: Ground) -> None:
    """/proc shows nothing of the environment the worker was started with, and its memory belongs to
    root alone.
    """
    assert Path(f"/proc/{here.worker.pid}/environ").read_bytes().strip(b"\0") == b""
    assert Path(f"/proc/{here.worker.pid}/mem").stat().st_uid == 0
    assert not any(
        secret in str(here.zygote.environ()) + str(here.worker.cmdline())
        for secret in (CANARY, *here.passwords)
    )


def test_a_child_inherits_nothing(here: Ground) -> None:
    """It has its null input, two outputs, its channel and the file for its last word open; no
    variable of ours; no capability but one.
    """
    code = """
import os
shown = open('/proc/self/environ').read() + str(dict(os.environ))
descriptors = [f'{n} {os.readlink("/proc/self/fd/" + n)}' for n in os.listdir('/proc/self/fd')
               if os.path.lexists('/proc/self/fd/' + n)]
[descriptors, shown, [line.split()[1] for line in open('/proc/self/status')
                      if line.startswith('Cap') and 'Bnd' not in line]]
"""
    descriptors, shown, capabilities = here.run(code)["result"]
    kinds = [target.split(" ", 1)[1].partition(":")[0].rpartition("/")[2] for target in descriptors]
    assert sorted(kinds) == [".where", "null", "pipe", "pipe", "socket"], descriptors
    assert "MECAPY" not in shown and "AWS" not in shown
    assert all(int(value, 16) in (0, 1 << libc.CAP_DAC_READ_SEARCH) for value in capabilities)


PLACES = (
    "import os, builtins, json\nplaces = ('.', '/dev/shm', os.environ['TMPDIR'], "
    "os.environ['HOME'], '../outbox')\n"
)
LEAVE = (
    PLACES
    + "for place in places: open(place + '/left-behind', 'w').close()\nbuiltins.left_behind = "
    "json.left_behind = 1"
)
FIND = (
    PLACES + "[[p for p in places if os.path.exists(p + '/left-behind')], hasattr(builtins, "
    "'left_behind'), hasattr(json, 'left_behind')]"
)


def test_nothing_is_left_for_the_next(here: Ground) -> None:
    """What a task left in its folders, in shared memory or in modules is gone for the next."""
    assert here.run(LEAVE)["status"] == "completed"
    assert here.run(FIND)["result"] == [[], False, False]
    here.unharmed()


def test_a_result_that_bites(here: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pickle that acts when it is opened is opened by nobody on the way home, only by its owner.

    The worker runs with a `pickle` that cannot load (`ground.FORBID`), and so does this process,
    which is the gateway, meanwhile.
    """
    marker = tmp_path / "bitten"
    code = (
        f"import os\nclass Bite:\n    def __reduce__(self): return os.mkdir, "
        f"({str(marker)!r},)\nbite = Bite()"
    )
    version = ".".join(map(str, sys.version_info[:2]))
    inputs = wire.Payload(
        payload.pack([], {}, prelude=lambda own: prelude.make(own, {}, [])).stream
    ).as_json()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a pickle was opened in the gateway")

    with monkeypatch.context() as patch:
        for name in ("load", "loads", "Unpickler"):
            patch.setattr(pickle, name, refuse)
        task = here.run(code, outputs=["bite"], payload=inputs, python=version)
        assert task["status"] == "completed", task["error"]
        here.unharmed()
        stored = wire.Payload.from_json(
            here.gateway.get(f"/tasks/{task['task_id']}/result")["payload"]
        ).pickle
    assert b"mkdir" in stored and not marker.exists()
    owner = (
        "import pickle, sys, io\ns = io.BytesIO(sys.stdin.buffer.read())\n"
        "s.readline()\nwhile True: "
        "pickle.load(s)"
    )
    subprocess.run([sys.executable, "-c", owner], input=stored, capture_output=True, check=False)
    assert marker.exists()
    assert "pickles cannot be opened here" in here.log()
