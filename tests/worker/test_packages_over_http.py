"""An index of the operator's own, reached over HTTP and HTTPS."""

from __future__ import annotations

import base64
import contextlib
import datetime
import ipaddress
import ssl
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mecapy_backend.shared.settings import Settings
from mecapy_worker.packages.environments import Environments
from mecapy_worker.packages.requested import PackagesRefused

from .local_index import LocalIndex

PASSWORD = "ann:open-sesame"


class Handler(SimpleHTTPRequestHandler):
    """Serves a folder to whoever has the password, and notes who asks for what."""

    password: str = ""
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        given = self.headers.get("Authorization", "")
        wanted = f"Basic {base64.b64encode(self.password.encode()).decode()}"
        if self.password and given != wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        super().do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Served:
    """An index on loopback. `asked`: the paths that it was asked for."""

    def __init__(self, folder: Path, password: str = "", certificate: Path | None = None) -> None:
        self.index = LocalIndex(folder)
        self.asked = list[str]()
        about = {"asked": self.asked, "password": password}
        handler = type("Handler", (Handler,), about)
        self._server = ThreadingHTTPServer(
            ("127.0.0.1", 0), partial(handler, directory=str(self.index.folder))
        )
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        before = f"{password}@" if password else ""
        scheme = "https" if certificate else "http"
        self.url = f"{scheme}://{before}127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Any]:
    """Starts indexes; the test ends them."""
    with contextlib.ExitStack() as stack:

        def start(name: str, **how: Any) -> Served:
            folder = tmp_path / name
            folder.mkdir()
            one = Served(folder, **how)
            stack.callback(one.close)
            return one

        yield start


def environments(tmp_path: Path, *indexes: Served, **more: Any) -> Environments:
    urls = tuple(one.url for one in indexes)
    settings = Settings(packages="any", packages_index=urls, sandbox="best-effort", **more)
    return Environments(settings, tmp_path)


def quiet(_: str) -> None:
    """Nobody watches the block."""


def lock_in(root: Path) -> str:
    (kept,) = root.glob("*/locks/*")
    return kept.read_text()


def forget_files(root: Path) -> None:
    """As if room had been made."""
    for place in [*root.glob("*/*/site-packages"), *root.glob("*/cache")]:
        place.rename(place.with_name("away"))


async def test_one_index_for_each_name(served: Any, tmp_path: Path) -> None:
    """A name comes from the first index that has it, whatever versions others offer; one that the
    first has not comes from the next. Each is asked with its password, which no message shows.
    """
    ours, others = served("ours", password=PASSWORD), served("others")
    ours.index.wheel("leanbeam", "1.2", {"leanbeam.py": "answer = 'ours'"})
    others.index.wheel("leanbeam", "9.9", {"leanbeam.py": "answer = 'theirs'"})
    others.index.wheel("leanmesh", "2.0", {"leanmesh.py": "answer = 'mesh'"})
    there = environments(tmp_path, ours, others)
    added = await there.added("user ann", ("leanbeam", "leanmesh"), quiet)
    place = Path(added.folder)
    assert "ours" in (place / "leanbeam.py").read_text()
    assert (place / "leanmesh.py").exists()
    assert not [path for path in others.asked if "leanbeam" in path]
    with pytest.raises(PackagesRefused, match="leanbeam") as refused:
        await there.added("user ann", ("leanbeam==9.9",), quiet)
    assert PASSWORD.partition(":")[2] not in str(refused.value)


async def test_each_file_has_the_hash_of_its_lock(served: Any, tmp_path: Path) -> None:
    """A file that was exchanged at the index after it was locked is not installed."""
    index = served("ours")
    index.index.wheel("leanbeam", "1.2", {"leanbeam.py": "answer = 1"})
    there = environments(tmp_path, index)
    await there.added("user ann", ("leanbeam",), quiet)
    assert "--hash=sha256:" in lock_in(tmp_path)
    index.index.wheel("leanbeam", "1.2", {"leanbeam.py": "answer = 'evil'"})
    forget_files(tmp_path)
    with pytest.raises(PackagesRefused, match=r"[Hh]ash"):
        await there.added("user ann", ("leanbeam",), quiet)


async def test_no_other_host_is_reached(served: Any, tmp_path: Path) -> None:
    """An index that leads elsewhere is refused, until the operator names that host."""
    ours, elsewhere = served("ours"), served("elsewhere")
    elsewhere.index.wheel("leanbeam", "1.2", {"leanbeam.py": "answer = 1"})
    page = ours.index.folder / "leanbeam" / "index.html"
    page.parent.mkdir()
    links = (elsewhere.index.folder / "leanbeam" / "index.html").read_text()
    page.write_text(links.replace('href="', f'href="{elsewhere.url}/leanbeam/'))
    with pytest.raises(PackagesRefused):
        await environments(tmp_path, ours).added("user ann", ("leanbeam",), quiet)
    assert not elsewhere.asked
    host = elsewhere.url.removeprefix("http://")
    named = environments(tmp_path, ours, packages_hosts=(host,))
    added = await named.added("user ann", ("leanbeam",), quiet)
    assert (Path(added.folder) / "leanbeam.py").exists() and elsewhere.asked


async def test_https_with_ones_own_authority(
    served: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The worker's `SSL_CERT_FILE` is the installer's, wherever it lies."""
    ours, certificate = tmp_path / "authority.pem", tmp_path / "server.pem"
    for path, text in zip((ours, certificate), authority(), strict=True):
        path.write_bytes(text)
    monkeypatch.setenv("SSL_CERT_FILE", str(ours))
    index = served("ours", certificate=certificate)
    index.index.wheel("leanbeam", "1.2", {"leanbeam.py": "answer = 1"})
    root = tmp_path / "root"
    root.mkdir()
    added = await environments(root, index).added("user ann", ("leanbeam",), quiet)
    assert (Path(added.folder) / "leanbeam.py").exists()


def authority() -> tuple[bytes, bytes]:
    """An authority's certificate, and a key with its certificate for 127.0.0.1."""
    root, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority")])
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)

    def certified(subject: x509.Name, public: Any, **is_ca: Any) -> bytes:
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(**is_ca), critical=True)
        )
        made = made if is_ca["ca"] else made.add_extension(address, critical=False)
        return made.sign(root, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    leaf = certified(name, key.public_key(), ca=False, path_length=None)
    return certified(issuer, root.public_key(), ca=True, path_length=0), private + leaf
