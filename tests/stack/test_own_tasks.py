"""`mecapy run | logs | attach | get | cancel` on a real stack, and what every command keeps to."""

# pyright: reportPrivateUsage=false
from __future__ import annotations

import json
import os
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mecapy_jupyter import cli
from mecapy_jupyter.client.task import resumed_events
from mecapy_jupyter.commands import completion
from mecapy_jupyter.shared.processes import mecapy_command
from mecapy_jupyter.shared.units import local_time
from mecapy_jupyter.wire import STDOUT

from .running import Stack, environment, until

SCRIPT = """import pathlib
numbers = list(map(int, pathlib.Path("numbers.txt").read_text().split()))
print("the sum is", sum(numbers))
pathlib.Path("sum.txt").write_text(str(sum(numbers)))
"""


class Terminal:
    """A user's, in a folder, with the stack's address in the environment."""

    def __init__(self, stack: Stack, folder: Path) -> None:
        self._env = environment(MECAPY_URL=stack.url, MECAPY_TOKEN=stack.token)
        self._folder = folder

    def __call__(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            mecapy_command(*words), env=self._env, cwd=self._folder, input="",
            capture_output=True, text=True, check=False, timeout=240,
        )  # fmt: skip
        assert done.returncode == code and "/mecapy_jupyter/" not in done.stderr, done
        self.err = done.stderr
        return done.stdout


def test_from_a_terminal(stack: Stack, tmp_path: Path) -> None:
    """A script runs with its folder's files and brings back those it writes; its log is there
    later; a failing one ends with 1 and its line; one that runs is followed and cancelled.
    """
    mecapy = Terminal(stack, tmp_path)
    (tmp_path / "numbers.txt").write_text("20\n22\n")
    (tmp_path / "sum.py").write_text(SCRIPT)
    assert mecapy("run", "sum.py") == "the sum is 42\n"
    assert (tmp_path / "sum.txt").read_text() == "42"
    assert mecapy("logs") == mecapy("attach", "last") == "the sum is 42\n"
    events = [json.loads(line) for line in mecapy("logs", "--json").splitlines()]
    assert [one["data"]["text"] for one in events if one["type"] == "stdout"] == ["the sum is 42\n"]

    (tmp_path / "bad.py").write_text("import sys\nprint(sys.argv)\n1 / 0\n")
    assert mecapy("run", "bad.py", "--", "a", "--b", code=1) == "['bad.py', 'a', '--b']\n"
    assert "ZeroDivisionError: division by zero" in mecapy.err
    assert f"{tmp_path.resolve()}/bad.py:3" in mecapy.err
    assert mecapy("run", "bad.py", "a", code=2) == "" and "follow after --" in mecapy.err
    failed = json.loads(mecapy("attach", "--json", code=1))
    assert failed["status"] == "failed" and failed["name"] == "bad.py"
    assert "cannot be read" in (mecapy("run", "nowhere.py", code=1), mecapy.err)[1]

    (tmp_path / "long.py").write_text("import time\nprint('here', flush=True)\ntime.sleep(600)\n")
    task = json.loads(mecapy("run", "long.py", "--bg", "--json", "--timeout", "1h"))["task_id"]
    said = resumed_events(stack.gateway(), task)
    assert next(one.data["text"] for one in said if one.type == STDOUT) == "here\n"
    assert mecapy("logs", task) == "here\n"
    (ended,) = json.loads(mecapy("cancel", task[:8], "--json"))
    assert ended["task_id"] == task and ended["outcome"].startswith("cancelled")
    assert "nothing to cancel" in mecapy("cancel", "all")


def test_variables_and_files(stack: Stack, tmp_path: Path) -> None:
    """`get` prints what a task bound, as JSON too, and says what there is instead of a wrong
    name.
    """
    mecapy = Terminal(stack, tmp_path)
    task = stack.submit("x = {'a': 1}; y = 2")
    until(lambda: stack.final(task), 120)
    assert mecapy("get", task, "x") == "x = {'a': 1}\n"
    assert json.loads(mecapy("get", task, "--json"))["variables"] == {"x": {"a": 1}, "y": 2}
    mecapy("get", task, "z", code=1)
    assert "brought back no z, only x, y" in mecapy.err
    mecapy("logs", "no-such-task", code=1)
    assert "mecapy tasks" in mecapy.err


def test_a_reader_that_goes() -> None:
    """`mecapy … | head` ends without a word."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            mecapy_command("completion", "bash"),
            stdout=writing,
            stderr=subprocess.PIPE,
            check=False,
            timeout=240,
        )
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("tasks",), "'http://[::1' is not the address of a gateway"),
        (("fleet", "status"), "PostgreSQL does not answer"),
        (("logs", "zzz"), "is not the address"),
    ],
)
def test_no_traceback(words: tuple[str, ...], told: str) -> None:
    """Whatever goes wrong is one sentence, also what nobody has thought of."""
    env = environment(MECAPY_URL="http://[::1", MECAPY_DATABASE_URL="postgresql://127.0.0.1:1/x")
    done = subprocess.run(
        mecapy_command(*words),
        env=env, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1 and told in done.stderr


def test_nobody_reads_on(stack: Stack, tmp_path: Path) -> None:
    """`mecapy run … | head` stops the task, as it would stop a script here."""
    (tmp_path / "long.py").write_text("while True:\n    print('on', flush=True)\n")
    pipe = " ".join(mecapy_command("run", "long.py")) + " | head -1; exit ${PIPESTATUS[0]}"
    done = subprocess.run(
        ["bash", "-c", pipe],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=240,
        env=environment(MECAPY_URL=stack.url, MECAPY_TOKEN=stack.token),
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (141, "on\n", "mecapy: cancelled\n")
    task = stack.tasks()[0].task_id
    until(lambda: stack.final(task), 120)


def test_no_input() -> None:
    """A command that has a question and a closed standard input ends with a sentence."""
    done = subprocess.run(
        mecapy_command("login", "--token", "http://127.0.0.1:9"),
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=240,
        start_new_session=True,  # no terminal to ask
    )  # fmt: skip
    assert done.returncode == 1 and "Traceback" not in done.stderr and done.stderr


def test_the_local_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times in lists are this machine's."""
    import time

    monkeypatch.setenv("TZ", "Europe/Paris")
    time.tzset()
    try:
        assert local_time(datetime(2026, 7, 1, 12, 0, tzinfo=UTC)) == "2026-07-01 14:00:00"
    finally:
        monkeypatch.undo()
        time.tzset()
    assert local_time(None) == ""


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        (["mecapy", "canc"], ["cancel"]),
        (["mecapy", "user", "era"], ["erase"]),
        (["mecapy", "run", "x.py", "--retr"], ["--retries"]),
    ],
)
def test_completion(typed: list[str], offered: list[str]) -> None:
    """bash completes commands, those below them, and options."""
    script = completion.script("bash", cli._parser())
    ask = f"COMP_WORDS=({' '.join(typed)}); COMP_CWORD={len(typed) - 1}; _mecapy"
    done = subprocess.run(
        ["bash", "-c", f'{script}\n{ask}\nprintf "%s\\n" "${{COMPREPLY[@]}}"'],
        capture_output=True, text=True, check=True, timeout=240,
    )  # fmt: skip
    assert done.stdout.split() == offered
