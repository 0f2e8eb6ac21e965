"""Notes of a task's end: over a real HTTP server and a real SMTP dialogue, and where no webhook
may lead.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import ssl
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from email import message_from_bytes
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
import urllib3
from pydantic import SecretStr

from mecapy_backend.notices import delivery, targets, webhook
from mecapy_backend.shared.settings import Settings
from mecapy_backend.store import tasks
from mecapy_backend.store.tables import tasks as rows
from mecapy_backend.store.tables import users
from mecapy_backend.store.tasks import notices
from mecapy_jupyter import wire

from ..conftest import served
from ..http_server import QuietHandler

OWNER = "ann"
DONE = wire.Outcome(wire.COMPLETED, result="secret result", seconds=65.0)


class Hook(ThreadingHTTPServer):
    """Keeps what is posted to it, and answers with `statuses`, the last one for ever."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.posted: list[tuple[str, dict[str, str], bytes]] = []
        self.statuses, self.came = [200], threading.Event()
        self.at = f"127.0.0.1:{self.server_port}"


class _Handler(QuietHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.posted.append(
            (self.path, {k.lower(): v for k, v in self.headers.items()}, body)
        )
        statuses = self.server.statuses
        self.send_response(statuses.pop(0) if len(statuses) > 1 else statuses[0])
        self.send_header("Location", "http://169.254.169.254/")
        self.end_headers()
        self.server.came.set()


@pytest.fixture
def hook() -> Iterator[Hook]:
    with Hook() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def settings(**more: Any) -> Settings:
    return Settings(notify_secret=SecretStr("operator's"), **more)


def is_signed(headers: dict[str, str], body: bytes, shown_key: str) -> bool:
    """As a receiver checks it."""
    key = base64.b64decode(shown_key.removeprefix("whsec_"))
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    wanted = base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()
    return headers["webhook-signature"] == f"v1,{wanted}"


def test_a_gateway_tells_of_an_end(
    database_url: str, redis_url: str, tmp_path: Any, hook: Hook
) -> None:
    """A task that ends posts one signed note to the URL that it named, and to one that is named
    once it has ended; a URL that is not allowed is refused.
    """
    allowed = settings(
        database_url=database_url, redis_url=redis_url, blob_url=f"file://{tmp_path}/blobs",
        token=SecretStr("t" * 32), notify_hosts=(hook.at,),
    )  # fmt: skip
    with (
        served(allowed) as gateway,
        httpx.Client(
            base_url=gateway.url, headers={"Authorization": "Bearer " + "t" * 32}, timeout=120
        ) as http,
    ):
        body = {"code": "1", "name": "beam", "notify": [f"http://{hook.at}/x?y=1"]}
        task_id = http.post("/tasks", json=body, timeout=120).json()["task_id"]
        bad = http.post("/tasks", json=body | {"notify": ["http://10.0.0.1/x"]}, timeout=120)
        assert bad.status_code == 422 and "is not https" in bad.json()["detail"]
        mail = http.post("/tasks", json=body | {"notify": ["mail"]}, timeout=120)
        assert mail.status_code == 422 and "MECAPY_SMTP_URL" in mail.json()["detail"]
        http.post(f"/tasks/{task_id}/cancel", timeout=120)
        assert hook.came.wait(120)
        hook.came.clear()
        later = {"notify": [f"http://{hook.at}/later"]}
        at = f"/tasks/{task_id}/notify"
        assert http.post(at, json=later | {"check": True}, timeout=120).status_code == 204
        assert http.post(at, json={"notify": ["mail"]}, timeout=120).status_code == 422
        assert http.post(at, json=later, timeout=120).status_code == 204
        assert hook.came.wait(120)
        key = http.get("/me", timeout=120).json()["webhook_key"]
    (path, headers, sent), (then, _, _) = hook.posted
    assert (path, then) == ("/x?y=1", "/later")
    assert headers["webhook-id"] == task_id and is_signed(headers, sent, key)
    said = json.loads(sent)
    assert (said["type"], said["data"]["name"]) == ("task.cancelled", "beam")


async def ended(db: Any, *notify: str) -> str:
    request = wire.TaskRequest("1", name="beam", notify=notify)
    task_id = (await tasks.submit(db, OWNER, request.as_json())).task_id
    assert await notices.claim(db) == []  # not before its end
    await tasks.start(db, task_id, "w", 60)
    await tasks.finish(db, task_id, 1, DONE)
    return task_id


async def left(db: Any, task_id: str) -> tuple[list[str], bool]:
    """Who is still to be told, and whether that is tried again."""
    async with db.connect() as connection:
        query = sa.select(rows.c.notify, rows.c.notify_at).where(rows.c.id == task_id)
        row = (await connection.execute(query)).one()
    return row.notify, row.notify_at is not None


async def make_due(db: Any, task_id: str) -> None:
    async with db.connect() as connection:
        await connection.execute(
            sa.update(rows).where(rows.c.id == task_id).values(notify_at=sa.func.now())
        )


async def test_it_is_tried_again_under_the_same_id(db: Any, hook: Hook) -> None:
    """A receiver that fails, and one that redirects, are told again later, with the same id; once
    it has answered, never again. What the task computed is not told.
    """
    allowed = settings(notify_url=f"http://{hook.at}/own")
    hook.statuses = [500, 302, 204]
    task_id = await ended(db, "webhook")
    for tries in (1, 2):
        await delivery.deliver(db, allowed)
        assert (await left(db, task_id), len(hook.posted)) == ((["webhook"], True), tries)
        await delivery.deliver(db, allowed)  # not due
        await make_due(db, task_id)
    await delivery.deliver(db, allowed)
    assert await left(db, task_id) == ([], False)
    await delivery.deliver(db, allowed)
    assert [headers["webhook-id"] for _, headers, _ in hook.posted] == [task_id] * 3
    assert b"secret result" not in hook.posted[0][2]


async def test_of_several_gateways_one_tells(db: Any, hook: Hook) -> None:
    """Two that look at once post once."""
    allowed = settings(notify_url=f"http://{hook.at}/own")
    await ended(db, "webhook")
    await asyncio.gather(*(delivery.deliver(db, allowed) for _ in range(4)))
    assert len(hook.posted) == 1


PRIVATE = (
    *("https://127.0.0.1/", "https://localhost/", "https://[::1]/", "https://0.0.0.0/"),
    *("https://2130706433/", "https://10.1.2.3/", "https://192.168.0.1/", "https://172.16.0.1/"),
    *("https://169.254.169.254/latest", "https://100.64.0.1/", "https://168.63.129.16/"),
    *("https://[::ffff:127.0.0.1]/", "https://[64:ff9b::7f00:1]/", "https://[2002:7f00:1::]/"),
    *("https://[fd00:ec2::254]/", "https://[fe80::1]/", "https://[::]/", "https://224.0.0.1/"),
)


@pytest.mark.parametrize("url", PRIVATE)
def test_where_no_webhook_leads(url: str) -> None:
    """This machine, private networks and metadata services are refused, in every notation, before a
    connection is made.
    """
    with pytest.raises(webhook.NotPublic):
        webhook.post(url, b"{}", b"k", "id", settings())


BAD = {
    "http://example.org/": "not https",
    "ftp://example.org/": "not https",
    "https://user:pw@example.org/": "password",
    "https:///path": "no address",
    "https://[::1": "no address",
    "https://example.org/\r\nX: y": "no address",
    "slack": "no address",
}


@pytest.mark.parametrize("target", BAD)
def test_what_is_no_target(target: str) -> None:
    """What is refused at the submission, and why."""
    assert BAD[target] in targets.refusal([target], settings(), "")


@asynccontextmanager
async def smtp_server() -> AsyncIterator[tuple[str, list[bytes]]]:
    """One that takes every mail, with the dialogue of RFC 5321."""
    taken: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        while line := await reader.readline():
            verb = line[:4].upper()
            if verb == b"DATA":
                writer.write(b"354 go on\r\n")
                taken.append(await reader.readuntil(b"\r\n.\r\n"))
            writer.write(b"221 bye\r\n" if verb == b"QUIT" else b"250 fine\r\n")
            await writer.drain()
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"smtp://127.0.0.1:{server.sockets[0].getsockname()[1]}", taken


async def test_mail(db: Any) -> None:
    """The owner's address gets one mail, which names the task, how it ended and what to type; while
    the server is away it waits, and a password does not travel without TLS.
    """
    async with db.connect() as connection:
        mine = sa.insert(users).values(id=OWNER, issuer="i", subject="s", email="ann@example.org")
        await connection.execute(mine)
    task_id = await ended(db, "mail")
    await delivery.deliver(db, settings(smtp_url=SecretStr("smtp://127.0.0.1:9")))
    assert await left(db, task_id) == (["mail"], True)
    async with smtp_server() as (url, taken):
        with_password = url.replace("//", "//ann:secret@")
        for each in (with_password, url, url):
            await make_due(db, task_id)
            await delivery.deliver(db, settings(smtp_url=SecretStr(each), smtp_from="m@x.org"))
    [raw] = taken
    mail = message_from_bytes(raw)
    assert (mail["To"], mail["From"]) == ("ann@example.org", "m@x.org")
    assert mail["Subject"] == "MecaPy: beam completed"
    assert f"%mecapy attach {task_id[:8]}" in raw.decode() and "1:05" in raw.decode()
    assert await left(db, task_id) == ([], False)


async def test_it_is_given_up_after_a_day(db: Any) -> None:
    """Nobody is told of a task that ended long ago."""
    task_id = await ended(db, "webhook")
    async with db.connect() as connection:
        long_ago = sa.func.now() - sa.text("interval '25 hours'")
        change = sa.update(rows).where(rows.c.id == task_id).values(completed_at=long_ago)
        await connection.execute(change)
    began = time.monotonic()
    await delivery.deliver(db, settings(notify_url="http://127.0.0.1:9/"))
    assert await left(db, task_id) == ([], False)
    assert time.monotonic() - began < 300


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate of `localhost`, with its key, signed by itself."""
    path = tmp_path / "localhost.pem"
    made = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    made += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(path), "-out"]
    subprocess.run(["openssl", *made, f"{path}.crt"], check=True, capture_output=True)
    path.write_text(path.read_text() + Path(f"{path}.crt").read_text())
    return path


def test_tls_is_checked_by_name(
    hook: Hook, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The address that was checked must have a trusted certificate of the name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    hook.socket = context.wrap_socket(hook.socket, server_side=True)
    port = hook.server_port
    allowed = settings(notify_hosts=(f"localhost:{port}", f"127.0.0.1:{port}"))
    with pytest.raises(urllib3.exceptions.SSLError):
        webhook.post(f"https://localhost:{port}/", b"{}", b"k", "id", allowed)
    monkeypatch.setenv("SSL_CERT_FILE", f"{certificate}.crt")
    with pytest.raises(urllib3.exceptions.SSLError):
        webhook.post(f"https://127.0.0.1:{port}/", b"{}", b"k", "id", allowed)
    assert webhook.post(f"https://localhost:{port}/", b"{}", b"k", "id", allowed) == 200
    assert hook.posted[0][1]["host"] == f"localhost:{port}"
