"""A whole run, things going wrong on purpose, and then every log of it searched for what must never
be in one.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx
import pytest

from mecapy_jupyter.shared.processes import mecapy_command

from ..stack.running import Stack, environment, until

KERNEL = """
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.run_cell("%load_ext mecapy_jupyter")
shell.run_cell("%%mecapy\\nprint('told')\\n1 / 0")
shell.run_cell("%mecapy")
shell.run_cell("%mecapy get 00000000-0000-4000-8000-000000000000")
import os
os.environ["MECAPY_URL"] = "http://127.0.0.1:9"
shell.run_cell("%%mecapy\\n1")
"""
FORGED = 'a\n{"level": "info", "event": "forged"}\r\x1b[31m\u2028'


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack.up(tmp_path / "data", MECAPY_LOG_FORMAT="json")


@pytest.mark.long
def test_no_secret_is_logged(stack: Stack, tmp_path: Path) -> None:
    """The token, the database's password, the object store's key and a token that is not accepted:
    in no log, and in nothing a kernel printed. Names and addresses that somebody typed forge no
    line.
    """
    key, wrong = secrets.token_hex(20), secrets.token_hex(20)
    try:
        kernel = _kernel(stack, tmp_path)
        _ask_wrongly(stack, wrong)
        away = _with_a_store_that_refuses(stack, key, tmp_path)
        password = urlsplit(stack.settings()["MECAPY_DATABASE_URL"]).password or ""
    finally:
        stack.close()
    logs = {str(path): path.read_text(errors="replace") for path in stack.data.rglob("*.log")} | {
        "kernel": kernel,
        "away": away,
    }
    assert (
        sum(map(len, logs.values())) > 2000
        and "ZeroDivisionError" in kernel
        and '"event":"submitted"' in "".join(logs.values())
    )
    hidden = {"token": stack.token, "refused token": wrong, "key": key} | (
        {"password": unquote(password)} if password else {}
    )
    assert [
        (name, path)
        for name, secret in hidden.items()
        for path, text in logs.items()
        if secret in text
    ] == []
    ours = [
        line
        for path, text in logs.items()
        if "gateway" in path or "worker" in path
        for line in text.splitlines()
        if line[:1] == "{"
    ]
    assert ours and all(json.loads(line)["event"] != "forged" for line in ours)


def _kernel(stack: Stack, folder: Path) -> str:
    own = {
        "MECAPY_URL": stack.url,
        "MECAPY_TOKEN": stack.token,
        "MECAPY_NONINTERACTIVE": "1",
        "XDG_STATE_HOME": str(folder / "state"),
    }
    own |= {"IPYTHONDIR": str(folder / "ipython"), "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-c", KERNEL],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
        env=environment(**own),
    )
    return done.stdout + done.stderr


def _ask_wrongly(stack: Stack, wrong: str) -> None:
    with httpx.Client(base_url=stack.url, timeout=120) as http:
        mine, other = ({"Authorization": f"Bearer {token}"} for token in (stack.token, wrong))
        assert http.get("/tasks", headers=other).status_code == 401
        http.get(f"/tasks?token={stack.token}", headers=mine)
        http.get(f"/{wrong}%0A{{}}")
        http.post("/tasks", headers=mine, json={"code": "1", "name": FORGED})
        http.get("/tasks/x%0Aforged/result", headers=mine | {"X-Request-ID": FORGED.encode().hex()})
        http.post("/tasks", headers=mine, content=b"{" + stack.token.encode())
        http.get("/metrics", headers=mine)


def _with_a_store_that_refuses(stack: Stack, key: str, folder: Path) -> str:
    """A second gateway, whose object store is away and whose database's URL is wrong: what it has
    to say of both.
    """
    settings = stack.settings() | {
        "MECAPY_BLOB_URL": "s3://nowhere/x",
        "MECAPY_S3_ENDPOINT_URL": "http://127.0.0.1:9",
    }
    settings["MECAPY_DATABASE_URL"] = f"postgresql://mecapy:{key}@127.0.0.1:9/mecapy"
    settings |= {
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": key,
        "MECAPY_TOKEN": stack.token,
    }
    log = folder / "away.log"
    with log.open("wb") as out:
        gateway = subprocess.Popen(
            mecapy_command("gateway", "--port", "0"),
            stdout=out,
            stderr=out,
            env=os.environ | settings,
            cwd=folder,
        )
        try:
            until(lambda: "ready" in log.read_text() or gateway.poll() is not None, 240)
        finally:
            gateway.terminate()
            gateway.wait(120)
    return log.read_text(errors="replace")
