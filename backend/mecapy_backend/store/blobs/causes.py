"""Why the object store does not work: what an operator has to change, named by setting. No address
and no secret is in it.
"""

from __future__ import annotations

from mecapy_jupyter.wire import json_fields
from mecapy_jupyter.wire.json_fields import as_object

REFUSED, AWAY = "refused", "away"
_KEYS = (REFUSED, "it refuses AWS_ACCESS_KEY_ID or AWS_SECRET_ACCESS_KEY")
_REGION = (REFUSED, "set MECAPY_S3_REGION to the region of the bucket")
_NOT_REACHED = (AWAY, "nothing answers at MECAPY_S3_ENDPOINT_URL")
_CAUSES = {
    "InvalidAccessKeyId": _KEYS,
    "SignatureDoesNotMatch": _KEYS,
    "NoCredentialsError": (REFUSED, "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
    "AccessDenied": (REFUSED, "the keys may not write to the bucket"),
    "NoSuchBucket": (REFUSED, "MECAPY_BLOB_URL names no bucket that exists"),
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "PermanentRedirect": _REGION,
    # of questions (HEAD), whose answers carry no word
    "301": _REGION,
    "400": _REGION,
    "403": (REFUSED, f"{_KEYS[1]}, or they may not use the bucket"),
    "EndpointConnectionError": _NOT_REACHED,
    "ConnectionRefusedError": _NOT_REACHED,
    "ConnectTimeoutError": _NOT_REACHED,
    "gaierror": (AWAY, "the host of MECAPY_S3_ENDPOINT_URL is not known"),
}
"""S3's own word, or the error's name: the state, and what to do."""


def cause(error: BaseException) -> tuple[str, str]:
    """The state, "refused" or "away", and a sentence."""
    code = name_of(error)
    state, what = _CAUSES.get(code, (AWAY, "see that it runs and the keys may write to it"))
    return state, f"does not work ({code}): {what}"


def name_of(error: BaseException) -> str:
    """S3's own word for it, where there is one: `NoSuchBucket`, `AccessDenied`,
    `RequestTimeTooSkewed`; also of an error that boto3 or we have made of it. Else the system's.
    """
    response = as_object(getattr(error, "response", None))
    if code := json_fields.text(json_fields.mapping(response, "Error"), "Code"):
        return code[:60]
    if below := error.__cause__ or error.__context__:
        return name_of(below)
    name = type(error).__name__
    return name if name in _CAUSES else getattr(error, "strerror", None) or name
