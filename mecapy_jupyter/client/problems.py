"""Turns the gateway's problem documents (RFC 9457) into MecaPy's errors."""

from __future__ import annotations

import urllib3

from mecapy_jupyter.shared import errors
from mecapy_jupyter.shared import own_json as json


class BlobsMissing(errors.Refused):
    """The task names blobs that the store lacks: send them, then submit again."""


_PROXY = (502, 503, 504)
_BY_STATUS: dict[int, type[errors.MecapyError]] = {
    401: errors.NotAuthorized,
    403: errors.NotAuthorized,
    404: errors.NotFound,
}
_BY_TYPE: dict[str, type[errors.MecapyError]] = {
    "blobs-missing": BlobsMissing,
    "python-mismatch": errors.PythonMismatch,
}


def problem(answer: urllib3.BaseHTTPResponse, url: str) -> errors.MecapyError:
    """The error for a problem document (or for an answer that is none)."""
    try:
        document = json.loads(answer.data)
        detail, name = document["detail"], str(document.get("type")).rpartition(":")[2]
    except (ValueError, KeyError, TypeError, AttributeError):
        detail, name = _no_problem_document(answer.status, url), ""
    leaf = _BY_TYPE.get(name) or _BY_STATUS.get(answer.status)
    leaf = leaf or (errors.Unavailable if answer.status in (429, *_PROXY) else errors.Refused)
    return leaf(str(detail))


def _no_problem_document(status: int, url: str) -> str:
    if status in _PROXY:
        return (
            f"the proxy at {url} answered {status}: no gateway behind it is ready. Try again in a "
            f"moment; if it stays, the operator asks each gateway for /readyz?verbose"
        )
    return f"{url} answered {status}; is this address a MecaPy gateway?"
