"""What the store has is neither sent nor asked for: the task names it, and only if it is not there
any more it travels.
"""

from __future__ import annotations

import secrets
from typing import Any

import numpy as np
import pytest

from mecapy_jupyter import Client
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.shared import errors

MAKE = "import numpy; y = numpy.arange(1 << 18) + 0.5"
USE = "z = float(y[7])"


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked over HTTP."""
    made: list[str] = []
    real = Gateway._send

    def send(self: Gateway, method: str, path: str, **options: Any) -> Any:
        made.append(f"{method} {path}")
        return real(self, method, path, **options)

    monkeypatch.setattr(Gateway, "_send", send)
    return made


def test_one_request(client: Client, requests: list[str]) -> None:
    """A result used as the next input costs the request of its task and no other, and none of its
    bytes.
    """
    y = client.run(MAKE).vars["y"]
    requests.clear()
    task = client.run(USE, {"y": y})
    assert task.vars["z"] == 7.5 and requests == ["POST /tasks"]
    assert task.sent_bytes < 10_000 and task.reused_bytes >= y.nbytes


def test_gone_meanwhile(client: Client, requests: list[str]) -> None:
    """A blob that went with the last task that named it travels again, and alone; the task does not
    notice.
    """
    of_nobody_else = str(secrets.randbelow(1 << 30))
    first, second = client.run(MAKE.replace("0.5", of_nobody_else)), client.run(MAKE)
    y, kept = first.vars["y"], second.vars["y"]
    client.gateway.delete(f"/tasks/{first.id}")
    requests.clear()
    task = client.run(USE, {"y": y, "kept": kept})
    assert task.vars["z"] == 7.0 + int(of_nobody_else)
    assert requests == ["POST /tasks", "POST /blobs/missing", "POST /blobs/take", "POST /tasks"]
    assert y.nbytes <= task.sent_bytes < y.nbytes + 10_000 and task.reused_bytes >= kept.nbytes


def test_small_and_equal(client: Client, requests: list[str]) -> None:
    """A small array is known by its content: an equal one is not sent, a changed one is, and one
    that the store has lost is sent again.
    """
    x = np.full(20_000, secrets.randbelow(1 << 30), dtype=float)
    first = client.run("a = float(x[0])", {"x": x})
    requests.clear()
    second = client.run("a = float(x[0])", {"x": x.copy()})
    assert second.vars["a"] == x[0] and requests == ["POST /tasks"]
    assert second.sent_bytes < 10_000 and second.reused_bytes >= x.nbytes
    x[0] += 1
    third = client.run("a = float(x[0])", {"x": x})
    assert third.vars["a"] == x[0] and third.sent_bytes >= x.nbytes
    x[0] -= 1
    for task in (first, second):
        client.gateway.delete(f"/tasks/{task.id}")
    requests.clear()
    assert client.run("a = float(x[0])", {"x": x}).vars["a"] == x[0]
    assert requests == ["POST /tasks", "POST /blobs/missing", "POST /blobs/take", "POST /tasks"]


def test_changed_and_changed_back(client: Client, requests: list[str]) -> None:
    """A changed result is sent; one that holds what it held, though it was written to, is asked for
    and not sent.
    """
    y = client.run(MAKE).vars["y"]
    y[7] = -1.0
    assert client.run(USE, {"y": y}).vars["z"] == -1.0
    y[7] = 7.5
    requests.clear()
    task = client.run(USE, {"y": y})
    assert task.vars["z"] == 7.5 and requests == ["POST /blobs/missing", "POST /tasks"]
    assert task.sent_bytes < 10_000 and np.array_equal(y, np.arange(1 << 18) + 0.5)


@pytest.mark.long
def test_very_many_arrays(client: Client) -> None:
    """More than a task may have open files; there, home, and there again."""
    images = [np.full((100, 100), number, dtype=float) for number in range(1001)]
    task = client.run(
        "made = [image + 1 for image in images]; images[1000][0, 0] = -1", {"images": images}
    )
    made = task.vars["made"]
    assert [image[50, 50] for image in made] == list(range(1, 1002)) and images[1000][0, 0] == -1
    assert (
        client.run("total = sum(image[0, 0] for image in made)", {"made": made}).vars["total"]
        == 1001 * 1002 / 2
    )


def test_too_many_large_arrays(client: Client) -> None:
    """Said before anything is sent, with what to do."""
    with pytest.raises(errors.CannotSend, match=r"1,000 arrays .* stack"):
        client.run(
            "1", {name: [np.zeros(1 << 17) for _ in range(500)] for name in ("first", "second")}
        )
