"""Settings of the notes that tell of a task's end (`--notify`); a part of `settings`."""

from __future__ import annotations

from pydantic import SecretStr

from mecapy_backend.shared.package_settings import Names, PackageSettings


class NoticeSettings(PackageSettings):
    smtp_url: SecretStr = SecretStr("")
    """`smtp://user:password@host:587` or `smtps://…`; nothing: no mail."""

    smtp_from: str = "mecapy@localhost"
    """Sender of those mails."""

    notify_secret: SecretStr = SecretStr("")
    """Signs webhooks; nothing: there are none."""

    notify_url: str = ""
    """The operator's webhook, `--notify webhook`."""

    notify_hosts: Names = ()
    """`host:port` of users' webhooks that need not be public or https."""
