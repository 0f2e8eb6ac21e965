"""A new machine in a cloud asks the gateway for its worker's environment, with a token that works
once. So nothing that is worth stealing stands in what the provider was given.
"""

from __future__ import annotations

import os
import time
from typing import cast

import urllib3

from mecapy_jupyter.shared.errors import ConfigError
from mecapy_jupyter.wire import MACHINE_HOURS, JsonObject

_ASK_S, _PAUSE_S, _PATIENCE_S = 10.0, 2.0, 300.0


def fetch(hours: float) -> float:
    """Into `os.environ`; the token leaves it. Waits for a gateway that is away. Returns after how
    many hours the worker leaves (0: never), given those that it was started with.
    """
    token, url = os.environ.pop("MECAPY_MACHINE_TOKEN"), os.environ.get("MECAPY_URL", "")
    if not url:
        raise ConfigError("MECAPY_MACHINE_TOKEN is set, and MECAPY_URL names no gateway to ask")
    until = time.monotonic() + _PATIENCE_S
    while not (answer := _asked(f"{url.rstrip('/')}/machines/credentials", token)):
        if time.monotonic() > until:
            raise ConfigError(f"{url} gave no credentials in {_PATIENCE_S:.0f} s")
        time.sleep(_PAUSE_S)
    os.environ.update(cast(dict[str, str], answer["environment"]))
    most = float(os.environ.pop(MACHINE_HOURS, 0))
    return min(hours or most, most or hours)


def _asked(url: str, token: str) -> JsonObject | None:
    """None: not now. Sent once: an answer that was lost has used the token up."""
    headers = {"Authorization": f"Bearer {token}"}
    try:
        answer = urllib3.request("POST", url, headers=headers, timeout=_ASK_S, retries=False)
    except urllib3.exceptions.HTTPError:
        return None
    if answer.status == 200:
        return cast(JsonObject, answer.json())
    if answer.status in (401, 403, 404):
        said = answer.data.decode(errors="replace")[:300]
        raise ConfigError(f"{url} gives this machine no credentials ({answer.status}): {said}")
    return None
