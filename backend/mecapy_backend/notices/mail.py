"""Sends a mail through the operator's SMTP server. Blocks."""

from __future__ import annotations

import smtplib
import ssl
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

from mecapy_backend.shared.settings import Settings

_WITHIN_S = 8.0


def send(to: str, subject: str, text: str, message_id: str, settings: Settings) -> None:
    """Raises OSError or SMTPException. `smtp://`: TLS where the server offers it; a password never
    travels without.
    """
    parts = urlsplit(settings.smtp_url.get_secret_value())
    host = parts.hostname or "localhost"
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = settings.smtp_from, to, subject
    mail["Message-ID"], mail["Auto-Submitted"] = f"<{message_id}@mecapy>", "auto-generated"
    mail.set_content(text)
    context = ssl.create_default_context()
    if parts.scheme == "smtps":
        server = smtplib.SMTP_SSL(host, parts.port or 465, timeout=_WITHIN_S, context=context)
    else:
        server = smtplib.SMTP(host, parts.port or 587, timeout=_WITHIN_S)
    with server:
        encrypted = parts.scheme == "smtps"
        if not encrypted and server.ehlo() and server.has_extn("starttls"):
            server.starttls(context=context)
            encrypted = True
        if parts.username:
            if not encrypted:
                raise smtplib.SMTPNotSupportedError("the server offers no TLS for the password")
            server.login(unquote(parts.username), unquote(parts.password or ""))
        server.send_message(mail)
