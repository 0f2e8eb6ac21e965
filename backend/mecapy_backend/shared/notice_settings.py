"""Settings of the notes that tell of a task's end (`--notify`); a part of `settings`."""

from __future__ import annotations

from pydantic import Field, SecretStr

from mecapy_backend.shared.package_settings import Names, PackageSettings


class NoticeSettings(PackageSettings):
    smtp_url: SecretStr = Field(
        default=SecretStr(""),
        description="`smtp://user:password@host:587` or `smtps://…`; nothing: no mail",
    )
    smtp_from: str = Field(default="mecapy@localhost", description="sender of those mails")
    notify_secret: SecretStr = Field(
        default=SecretStr(""), description="signs webhooks; nothing: there are none"
    )
    notify_url: str = Field(default="", description="the operator's webhook, `--notify webhook`")
    notify_hosts: Names = Field(
        default=(),
        description="`host:port` of users' webhooks that need not be public or https",
    )
