"""HTTP clients of the tests share one TLS context, unless a test asks for its own."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

import certifi
import httpx
import pytest


def context(client: Any) -> ssl.SSLContext:
    return client._transport._pool._ssl_context


def test_clients_share_one_context_that_verifies():
    with httpx.Client() as one, httpx.Client(base_url="http://127.0.0.1") as other:
        assert context(one) is context(other) is context(httpx.AsyncClient())
        assert context(one).verify_mode is ssl.CERT_REQUIRED and context(one).check_hostname
        assert context(one).cert_store_stats()["x509_ca"] > 10


def test_other_certificates_are_another_context(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """Of the environment, and of the client's own `verify`."""
    first = Path(certifi.where()).read_text().partition("-----END CERTIFICATE-----")
    (tmp_path / "one.pem").write_text("".join(first[:2]) + "\n")
    with httpx.Client() as shared, httpx.Client(verify=False) as unverified:
        assert context(unverified).verify_mode is ssl.CERT_NONE
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "one.pem"))
        with httpx.Client() as other:
            assert context(other) is not context(shared)
            assert context(other).cert_store_stats()["x509_ca"] == 1
