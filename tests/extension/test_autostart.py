"""The stack that starts with the Jupyter server; tests/house/test_binder.py sees it start."""

from __future__ import annotations

import logging

import pytest

from mecapy_jupyter.extension import autostart


def test_only_where_the_deployment_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the setting, or with it switched off, nothing starts."""
    monkeypatch.delenv("MECAPY_AUTOSTART", raising=False)
    assert not autostart.wanted()
    monkeypatch.setenv("MECAPY_AUTOSTART", "0")
    assert not autostart.wanted()
    monkeypatch.setenv("MECAPY_AUTOSTART", "1")
    assert autostart.wanted()


def test_a_start_that_fails_is_a_line_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The server serves on, and its log says what is wrong."""
    monkeypatch.setenv("MECAPY_URL", "https://mecapy.example")
    monkeypatch.delenv("MECAPY_TOKEN", raising=False)
    autostart.begin(logging.getLogger("jupyter")).join()
    assert "MECAPY_TOKEN" in caplog.text
