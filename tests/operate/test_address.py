"""The public address is probed from outside: its certificate, and whether it answers at all."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from ..http_server import QuietHandler
from ..ports import free_port
from ..security.outside import certified
from ..stack.running import until
from .conftest import listens, program, running
from .watch import watching

NAME = "localhost"


class Proxy(QuietHandler):
    """Stands in for the one that has the public address."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()


@contextmanager
def blackbox(folder: Path) -> Iterator[str]:
    """The exporter, which trusts the certificates in that folder."""
    (config := folder / "blackbox.yml").write_text(
        "modules:\n  http_2xx:\n    prober: http\n    http:\n"
        "      preferred_ip_protocol: ip4\n"
        f"      tls_config: {{ca_file: {folder / 'authority.pem'}}}\n"
    )
    port = free_port()
    argv = (
        program("prometheus-blackbox-exporter"),
        f"--config.file={config}",
        f"--web.listen-address=127.0.0.1:{port}",
    )
    with running(*argv, log=folder / "blackbox.log"):
        until(lambda: listens(port), 240)
        yield f"127.0.0.1:{port}"


@pytest.mark.long
def test_a_certificate_ends(tmp_path: Path) -> None:
    """A ticket while it has less than 14 days, until it is renewed; a page once it has ended, which
    no date tells any more.
    """
    texts = dict[float, str]()

    def certificate(days: float) -> ssl.SSLContext:
        texts[days], context = certified(NAME, tmp_path, days)
        (tmp_path / "authority.pem").write_text("".join(texts.values()))
        return context

    context = certificate(5)
    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server, blackbox(tmp_path) as exporter:

        def renew(days: float) -> None:
            certificate(days)
            context.load_cert_chain(tmp_path / "tls.pem")

        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        targets = {"mecapy-tls": [f"https://{NAME}:{server.server_port}/livez"]}
        with watching(tmp_path, targets, exporter) as watch:
            with watch.paged("MecapyCertificateEnds", "ticket"):
                watch.arrives("MecapyCertificateEnds", "ticket")
                renew(90)
            with watch.paged("MecapyAddressFails"):
                renew(-1)
                watch.arrives("MecapyAddressFails")
                renew(91)
        server.shutdown()
