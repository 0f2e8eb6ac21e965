"""The stack a notebook starts by itself."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.shared import errors
from mecapy_jupyter.stack import embedded

from .running import environment, until

NOTEBOOK = """
import sys
from mecapy_jupyter.stack.embedded import ensure
said = []
endpoint = ensure(sys.argv[1], said.append)
print(endpoint.url, len(said))
"""


def _notebook(data: Path) -> tuple[str, int]:
    """A process that needs a stack, and ends. Its URL, and how many lines it said."""
    done = subprocess.run(
        [sys.executable, "-c", NOTEBOOK, str(data)],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        env=environment(),
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    url, said = done.stdout.split()
    return url, int(said)


@pytest.mark.long
def test_two_notebooks_make_one_stack(tmp_path: Path) -> None:
    """Two notebooks that need a stack at once share one, told of in one line; it outlives both and
    ends with `down`.
    """
    data = tmp_path / "data"
    try:
        with ThreadPoolExecutor(2) as both:
            (url, said), (other_url, other_said) = both.map(_notebook, (data, data))
        assert url == other_url
        assert said + other_said == 1
        endpoint = embedded.joined(data)
        assert endpoint and endpoint.url == url
        assert endpoint.token not in repr(endpoint)
        assert Gateway(endpoint.url, endpoint.token).get("/me")["owner"] == "local"
        found = embedded.status(data).as_json()
        supervisor = psutil.Process(found["supervisor"]["pid"])
        everything = [supervisor, *supervisor.children(recursive=True)]
        assert "--idle-stop" in supervisor.cmdline()
    finally:
        embedded.down(data)
    assert not psutil.wait_procs(everything, 120)[
        1
    ]  # the supervisor is a daemon: init may take a moment to reap it
    assert embedded.status(data).as_json()["components"] == []
    assert embedded.joined(data) is None


def test_what_does_not_start_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stack that cannot start is an error with the end of its log and what to try."""
    monkeypatch.setenv("MECAPY_WORKER_SLOTS", "none")
    with pytest.raises(errors.StackError, match=r"(?s)MECAPY_WORKER_SLOTS.*mecapy up"):
        embedded.ensure(tmp_path, say=lambda _: None)
    until(lambda: not embedded.status(tmp_path).url)
