"""A token stays where it belongs: not in what is shown, pickled, printed in a traceback, sent with
a cell, saved or logged.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import cloudpickle
import httpx
import nbformat
import pytest
from IPython.core.ultratb import VerboseTB

from mecapy_jupyter import Client
from mecapy_jupyter.client import config, device_login, logins
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.shared import errors
from mecapy_jupyter.travel.environment import process_state

from ..backend.speak import ComesAgain
from ..conftest import TOKEN
from ..extension.server import environment, running
from ..ports import free_port
from .provider import USER_CODE, Provider
from .test_login import log_in, until_true

SECRET = "a-token-that-nobody-may-see"


def secret() -> str:
    """For lines whose variables are shown."""
    return SECRET


def closed_port() -> str:
    """Where nobody answers."""
    return "http://127.0.0.1:9"


def test_nothing_shows_it(home: Path) -> None:
    """`repr` and `str` of whatever holds a token do not."""
    client = Client(closed_port(), SECRET)
    for one in (
        client,
        client.gateway,
        client.endpoint,
        vars(client.gateway),
        device_login.LoginTokens(*[logins.Secret(SECRET)] * 2, 1.0),
    ):
        assert SECRET not in f"{one!r} {one}"


def test_no_setting_of_ours_travels(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a notebook sets in its environment goes along with its cells; MECAPY_… does not."""
    monkeypatch.setattr(process_state, "_fresh_environment", dict(os.environ))
    monkeypatch.setenv("MECAPY_TOKEN", SECRET)
    monkeypatch.setenv("MECAPY_S3_ENDPOINT_URL", SECRET)
    monkeypatch.setenv("MADE_HERE", "seen on the worker")
    assert process_state._environment() == {"MADE_HERE": "seen on the worker"}


@pytest.mark.parametrize(
    "what", ["client", "gateway", "endpoint", "token", "a function that uses the client"]
)
def test_nothing_pickles_it(home: Path, what: str) -> None:
    """cloudpickle refuses whatever holds a token,
    and a function that refers to it, and says why.
    """
    client = Client(closed_port(), SECRET)
    holders = {
        "client": client,
        "gateway": client.gateway,
        "endpoint": client.endpoint,
        "token": client.endpoint.token,
    }
    with pytest.raises(TypeError, match="does not travel"):
        cloudpickle.dumps(holders.get(what) or (lambda: client))


@pytest.mark.parametrize("what", ["client", "endpoint", "token", "words"])
def test_no_cell_takes_it_along(gateway: Any, home: Path, what: str) -> None:
    """A cell that reads a variable with our token in it is refused, the variable named, and nothing
    was submitted.
    """
    client = Client(gateway.url, gateway.token)
    held = {
        "client": client,
        "endpoint": client.endpoint,
        "token": str(gateway.token),
        "words": f"Bearer {gateway.token}",
    }[what]
    with pytest.raises(errors.CannotSend, match="mine"):
        client.run("len(str(mine))", {"mine": held})
    with pytest.raises(errors.CannotSend):
        client.submit(lambda: held)
    assert client.gateway.get("/tasks")["tasks"] == []
    client.shutdown()


def test_no_traceback_has_it(
    oidc_gateway: Any, provider: Provider, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tracebacks with the values of all variables (`%xmode Verbose`) show no token: of a gateway,
    of a refused login, of a renewal.
    """
    provider.devices.lifetime_s = 1.0
    log_in(oidc_gateway, provider)
    kept = json.loads((home / "logins.json").read_text())[oidc_gateway.url]
    provider.devices.refresh.clear()
    gateway, shown = Gateway(oidc_gateway.url, ""), list[str]()

    def ended() -> bool:
        try:
            gateway.get("/me")
        except errors.NotAuthorized:
            shown.append(traceback())
        return bool(shown)

    until_true(ended)
    monkeypatch.setenv("MECAPY_URL", oidc_gateway.url)
    monkeypatch.setenv("MECAPY_TOKEN", f"{secret()} x")
    for fails in (
        lambda: Gateway(closed_port(), secret()).get("/me"),
        lambda: Gateway(oidc_gateway.url, secret()).post("/tasks", {"code": "1"}),
        lambda: list(Gateway(closed_port(), secret()).events("x")),
        lambda: config.resolve(),
    ):
        with pytest.raises(errors.MecapyError):
            try:
                fails()
            except errors.MecapyError:
                shown.append(traceback())
                raise
    for text in shown:
        assert "Traceback" in text and not [
            one for one in (SECRET, kept["access"], kept["refresh"]) if one in text
        ]
    assert "_once" in shown[1] and "<secret>" in shown[1]  # values were shown


def traceback() -> str:
    """The traceback of what is being handled, as IPython shows it at its most talkative."""
    return VerboseTB(theme_name="nocolor", include_vars=True).text(*sys.exc_info())


_NOTEBOOK = """
%load_ext mecapy_jupyter
%mecapy login {url}
%mecapy
%mecapy config
%xmode Verbose
from mecapy_jupyter import Client
client = Client()
client
client.gateway.get("/tasks/none")
"""


def test_no_notebook_keeps_it(oidc_gateway: Any, provider: Provider, tmp_path: Path) -> None:
    """`%mecapy login` in a real kernel shows a link to click and says who one is; the saved
    notebook has no token and no code.
    """
    provider.devices.lifetime_s = 2.0
    cells = [
        nbformat.v4.new_code_cell(line)
        for line in _NOTEBOOK.format(url=oidc_gateway.url).strip().splitlines()
    ]
    (tmp_path / "n.ipynb").write_text(nbformat.writes(nbformat.v4.new_notebook(cells=cells)))
    person = threading.Thread(
        target=lambda: (
            until_true(lambda: provider.devices.polls > 1),
            setattr(provider.devices, "decision", "ada"),
        )
    )
    person.start()
    done = subprocess.run(
        [
            sys.executable, "-m", "jupyter", "nbconvert", "--to", "notebook", "--execute",
            "--allow-errors", "--inplace", "n.ipynb",
        ],
        env=environment(tmp_path, PYTHON_KEYRING_BACKEND="keyring.backends.null.Keyring"),
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    person.join()
    saved = (tmp_path / "n.ipynb").read_text()
    assert done.returncode == 0, done.stderr
    assert (
        f"Logged in at {oidc_gateway.url} as ada." in saved
        and "NotFound" in saved
        and "user     ada" in saved
    )
    for secret in (*provider.devices.issued, "eyJ", "refresh-", USER_CODE):
        assert secret not in saved + done.stdout + done.stderr
    assert list((tmp_path / "config" / "mecapy").glob("logins.json"))


def test_the_extension_renews(
    oidc_gateway: Any, provider: Provider, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page's requests go on when the login was renewed meanwhile, and neither an answer nor the
    server's log has a token.
    """
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.null.Keyring")
    for name in ("MECAPY_URL", "MECAPY_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    provider.devices.lifetime_s = 1.0
    log_in(oidc_gateway, provider)
    task = Gateway(oidc_gateway.url, "").post("/tasks", {"code": "1"})["task_id"]
    with (
        running(tmp_path, PYTHON_KEYRING_BACKEND="keyring.backends.null.Keyring") as server,
        closing(server.page()) as page,
    ):
        before, answers = len(provider.devices.issued), list[httpx.Response]()

        def renewed() -> bool:
            answers.append(page.get(f"mecapy/tasks/{task}"))
            return len(provider.devices.issued) >= before + 6

        until_true(renewed)
        assert {answer.status_code for answer in answers} == {200}
        answers.append(page.post(f"mecapy/tasks/{task}/cancel"))
        said = "".join(answer.text for answer in answers) + server.log.read_text()
    assert answers[-1].json()["status"] == "cancelled"
    assert not [one for one in provider.devices.issued if one in said]


def test_no_log_has_it(
    settings: dict[str, Any],
    provider: Provider,
    home: Path,
    capfd: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """The gateway's log of a whole day of tokens, good and bad ones, has none of them."""
    environ = (
        os.environ
        | {f"MECAPY_{name.upper()}": str(value) for name, value in settings.items()}
        | {"MECAPY_LOG_FORMAT": "json"}
    )
    address = tmp_path / "log"
    with address.open("wb") as log:
        server = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "mecapy_jupyter.cli",
                "gateway",
                "--port",
                str(port := free_port()),
            ],
            stderr=log,
            env=environ,
        )
    try:
        url = f"http://127.0.0.1:{port}"
        until_true(lambda: _up(url))
        good = provider.token()
        http = ComesAgain(base_url=url, timeout=120)
        bearer = lambda token: {"Authorization": f"Bearer {token}"}  # noqa: E731
        made = http.post("/tokens", headers=bearer(good), json={"name": "ci"}).json()["token"]
        bad = [
            provider.token(aud="other"),
            provider.token(iss="x"),
            good + "x",
            made + "x",
            "nonsense",
        ]
        for token in (good, made, TOKEN, *bad):
            for method, path in (
                ("GET", "/me"),
                ("POST", "/tasks"),
                ("GET", f"/tasks?cursor={token}"),
                ("GET", f"/tasks/{token[:200]}"),
            ):
                http.request(method, path, headers=bearer(token), content=b"{")
        provider.away = True
        http.get("/me", headers=bearer(provider.token(header={"kid": "unknown"})))
        http.close()
    finally:
        server.terminate()
        server.wait(120)
    said = address.read_text() + capfd.readouterr().out
    assert "token made" in said
    assert not [one for one in (good, made, TOKEN, *bad[:4], good.split(".")[2]) if one in said]


def _up(url: str) -> bool:
    try:
        return httpx.get(f"{url}/healthz", timeout=120).status_code == 200
    except httpx.HTTPError:
        return False
