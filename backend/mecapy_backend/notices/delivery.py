"""Delivers the notes of ended tasks, on every gateway. A claim first moves the next try, so that
only one of several gateways sends; a note whose answer was lost is sent again under the same id.
Tried for a day, after ever longer pauses.
"""

from __future__ import annotations

import asyncio
import json
import smtplib

import structlog
import urllib3.exceptions
from sqlalchemy.ext.asyncio import AsyncEngine

from mecapy_backend.notices import mail, webhook
from mecapy_backend.notices.targets import MAIL, WEBHOOK
from mecapy_backend.shared.settings import Settings
from mecapy_backend.store.tasks import notices
from mecapy_backend.store.tasks.notices import DueNotice
from mecapy_jupyter.shared.units import clean, clock

_EVERY_S, _GIVEN_UP_S = 2.0, 86_400.0
_log = structlog.get_logger()


async def run(db: AsyncEngine, settings: Settings) -> None:
    """Until it is cancelled."""
    if not (settings.smtp_url.get_secret_value() or settings.notify_secret.get_secret_value()):
        return
    while True:
        try:
            await deliver(db, settings)
        except Exception as error:  # PostgreSQL is away; the rows keep it
            _log.warning("notices wait", error=repr(error))
        await asyncio.sleep(_EVERY_S)


async def deliver(db: AsyncEngine, settings: Settings) -> None:
    """All notes that are due."""
    while due := await notices.claim(db):
        async with asyncio.TaskGroup() as group:
            for notice in due:
                group.create_task(_tell(db, settings, notice))


async def _tell(db: AsyncEngine, settings: Settings, notice: DueNotice) -> None:
    left = [each for each in notice.targets if not await _told(settings, notice, each)]
    if left and notice.ended_s > _GIVEN_UP_S:
        _log.error("notice given up", task=notice.task_id, targets=len(left))
        left = []
    await notices.told(db, notice.task_id, left)


async def _told(settings: Settings, notice: DueNotice, target: str) -> bool:
    """Whether nothing is left to do for this target."""
    try:
        if target == MAIL:
            sent = mail.send, notice.email, _subject(notice), _text(notice)
            await asyncio.to_thread(*sent, notice.task_id, settings)
            status = 250
        else:
            url = settings.notify_url if target == WEBHOOK else target
            key = webhook.key_of(settings.notify_secret.get_secret_value(), notice.owner)
            body, number = json.dumps(_event(notice)).encode(), notice.task_id
            status = await asyncio.to_thread(webhook.post, url, body, key, number, settings)
    except webhook.NotPublic as why:
        _log.warning("notice refused", task=notice.task_id, why=str(why))
        return True
    except (OSError, smtplib.SMTPException, urllib3.exceptions.HTTPError) as error:
        _log.warning("notice not sent", task=notice.task_id, error=type(error).__name__)
        return False
    _log.info("notice", task=notice.task_id, status=status)
    return status < 300 or status == 410  # gone: nobody wants it any more


def _event(notice: DueNotice) -> dict[str, object]:
    """Nothing of what the task computed or printed: a webhook may end in a public channel."""
    about = {
        "task_id": notice.task_id,
        "name": notice.name,
        "owner": notice.owner,
        "status": notice.state,
        "seconds": notice.seconds,
        "error": notice.error or None,
    }
    at = notice.completed_at.isoformat()
    return {"type": f"task.{notice.state}", "timestamp": at, "data": about}


def _subject(notice: DueNotice) -> str:
    return f"MecaPy: {clean(notice.name, 60) or notice.task_id[:8]} {notice.state}"


def _text(notice: DueNotice) -> str:
    error = f" with {clean(notice.error, 60)}" if notice.error else ""
    short = notice.task_id[:8]
    return (
        f"The task {clean(notice.name, 60) or short} {notice.state}{error} after "
        f"{clock(notice.seconds)}.\n\n%mecapy attach {short} brings it home.\n"
    )
