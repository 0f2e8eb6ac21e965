"""A thief with a user's token of scope `tasks` submits tasks in their name: the user's kernel opens
no pickle that the thief chose, and shows nothing of theirs that acts.
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from mecapy_jupyter import wire
from mecapy_jupyter.client import signing

from ..magic.conftest import Kernel, Ran, started

# in the child the marker's folder cannot be written: the bite is for whoever opens it at home
STEAL = """
import sys
from mecapy_jupyter import Client
bites = "import os, contextlib\\nwith contextlib.suppress(OSError): os.mkdir(%r)" % sys.argv[2]
class Bite:
    def __reduce__(self):
        return exec, (bites,)
task = Client().run(sys.argv[1], inputs={"inward": Bite(), "bites": bites})
print(task.id)
task.vars
assert task.outcome.state == "completed", task.outcome
"""
BITE = """
class Back:
    def __reduce__(self):
        return exec, (bites,)
"""
CODE = """
from IPython.display import HTML, Javascript, display
import ipywidgets
print('said')
display(HTML('<b>fat</b>'), Javascript('1'), ipywidgets.IntSlider())
display({'text/plain': 'plain', 'text/html': '<i>', 'image/svg+xml': '<svg/>'}, raw=True)
n, back = 41, Back()
n + 1
"""


@pytest.fixture
def bitten(tmp_path: Path) -> Path:
    """Made by whoever opens the thief's pickles."""
    return tmp_path / "bitten"


@pytest.fixture
def victim(kernel_environment: dict[str, str], tmp_path: Path) -> Iterator[Kernel]:
    environment = kernel_environment | {"XDG_CONFIG_HOME": str(tmp_path / "victim")}
    with started(environment, tmp_path) as kernel:
        assert kernel.run("%load_ext mecapy_jupyter").ok
        yield kernel


def stolen(environment: dict[str, str], folder: Path, code: str, bitten: Path) -> str:
    """The id of a finished task that the thief's own machine submitted with the user's token."""
    theirs = {"XDG_CONFIG_HOME": str(folder / "thief")}
    done = subprocess.run(
        [sys.executable, "-c", STEAL, BITE + code, str(bitten)],
        env=os.environ | environment | theirs,
        capture_output=True,
        text=True,
        timeout=240,
    )
    # what came back bites the thief, too, who has opened it
    assert done.returncode == 0 and bitten.exists(), done.stderr
    bitten.rmdir()
    return next(word for word in done.stdout.split() if word.count("-") == 4)


def rest(stack: Any) -> httpx.Client:
    headers = {"Authorization": f"Bearer {stack.token}"}
    return httpx.Client(base_url=stack.url, headers=headers, timeout=120)


def acts(ran: Ran) -> bool:
    """Whether anything of it does more in a page than being seen."""
    kinds = {kind for shown in (*ran.displays, *ran.results) for kind in shown["data"]}
    # the block under the cell is ours
    widgets = [comm for comm in ran.comms if "IntSlider" in json.dumps(comm)]
    theirs = [shown for shown in ran.displays if "fat" in json.dumps(shown)]
    return bool(widgets or theirs or kinds & {"application/javascript", "image/svg+xml"})


def test_a_thief_s_task_stays_shut(
    victim: Kernel, kernel_environment: dict[str, str], tmp_path: Path, bitten: Path
) -> None:
    """Attached to or fetched from, it gives its texts and what JSON holds, and says why not more;
    its owner can ask for all of it.
    """
    task = stolen(kernel_environment, tmp_path, CODE, bitten)
    attached = victim.run(f"%mecapy attach {task}")
    assert attached.ok, "".join(attached.reply["traceback"])
    assert "said" in attached.stdout and victim.value("_") == "42"
    assert "was not submitted with your key" in attached.stderr and "--trust" in attached.stderr
    assert not bitten.exists() and not acts(attached)
    assert any(shown["data"].get("text/plain") == "plain" for shown in attached.displays)
    got = victim.run(f"%mecapy get {task} back")
    assert got.error == "NotFound" and not bitten.exists()
    assert victim.value("'n' in globals() or 'back' in globals()") == "False"
    trusted = victim.run(f"%mecapy attach {task} --trust")
    assert trusted.ok and victim.value("n") == "41"
    assert bitten.exists() and acts(trusted)


def test_variables_that_json_holds(victim: Kernel, running_stack: Any) -> None:
    """`get` brings them of a task that was submitted by REST; the others it does not name."""
    with rest(running_stack) as http:
        task = http.post("/tasks", json={"code": "n, back = [1, 'x'], 1j"}).json()["task_id"]
        http.get(f"/tasks/{task}/events").raise_for_status()
    got = victim.run(f"%mecapy get {task}")
    assert got.ok and victim.value("n") == "[1, 'x']" and "n from" in got.stdout
    assert victim.value("'back' in globals()") == "False"
    assert f"%mecapy get {task[:8]} --trust" in got.stderr


def test_no_signature_serves_another_request(
    victim: Kernel, kernel_environment: dict[str, str], tmp_path: Path, running_stack: Any
) -> None:
    """One taken from a task of the user's own does not open a task with other code; that task
    itself, submitted once more, does no more than the user wrote.
    """
    ran = victim.run("%%mecapy\na = {1, 2}")
    assert ran.ok, ran.text
    with rest(running_stack) as http:
        last = http.get("/tasks?limit=1").json()["tasks"][0]["task_id"]
        taken = http.get(f"/tasks/{last}/request").json()
        assert taken["signature"]
        ids = [
            http.post("/tasks", json=taken | change).json()["task_id"]
            for change in ({"code": "a = {3}"}, {"timeout": 7.0}, {"outputs": ["a"]}, {})
        ]
    for other in ids[:-1]:
        attached = victim.run(f"%mecapy attach {other}")
        assert "was not submitted with your key" in attached.stderr
    assert victim.value("a") == "{1, 2}"
    again = victim.run(f"del a\n%mecapy attach {ids[-1]}")
    assert again.ok and not again.stderr and victim.value("a") == "{1, 2}"


def test_a_key_is_its_user_s_alone(home: Path) -> None:
    """It stands in a file of mode 0600; one that was damaged is replaced; each part of a request
    counts.
    """
    request = wire.TaskRequest("1", payload=wire.Payload(b"x", "", ("0" * 64,)), timeout=5)
    try:
        signing._key.cache_clear()  # pyright: ignore[reportPrivateUsage]
        home.mkdir(parents=True)
        signing.key_file().write_bytes(b"short")
        signed = signing.signed(request)
        assert signing.key_file().stat().st_mode & 0o777 == 0o600
        assert [entry.name for entry in home.iterdir()] == ["signing-key"]
        sent = json.loads(json.dumps(signed.as_json()))
        assert signing.is_signed(wire.TaskRequest.from_json(sent | {"timeout": 5.0}))
        signing._key.cache_clear()  # pyright: ignore[reportPrivateUsage]
        assert signing.is_signed(signed)
        assert not signing.is_signed(request)
        assert not signing.is_signed(dataclasses.replace(signed, signature="ü" * 64))
        signing.key_file().unlink()
        signing._key.cache_clear()  # pyright: ignore[reportPrivateUsage]
        assert not signing.is_signed(signed)
    finally:
        signing._key.cache_clear()  # pyright: ignore[reportPrivateUsage]
