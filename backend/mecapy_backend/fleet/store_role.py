"""Keys of the object store for one machine: of a role that the gateway takes in its name (STS), cut
down to the blobs of this stack. They end by themselves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit

from mecapy_backend.shared.settings import Settings
from mecapy_jupyter.wire import JsonObject

MOST_S = 12 * 3600.0
"""No service gives keys for longer."""

_OF_OBJECTS = (
    "s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload",
    "s3:ListMultipartUploadParts",
)  # fmt: skip
_OF_BUCKET = ("s3:ListBucket", "s3:ListBucketMultipartUploads", "s3:GetBucketLocation")


class NoStoreKeys(Exception):
    """The service gave none. The text says why."""


def keys(settings: Settings, machine: str, for_s: float) -> dict[str, str]:
    """The environment of a worker, as far as it is about the store's keys. Blocks."""
    # boto3 takes half a second to import, and only machines in a cloud need it here.
    import boto3  # pyright: ignore[reportMissingTypeStubs]
    from botocore.exceptions import (  # pyright: ignore[reportMissingTypeStubs]
        BotoCoreError,
        ClientError,
    )

    session: Any = boto3.Session()
    service: Any = session.client(
        "sts",
        endpoint_url=settings.s3_endpoint_url or None,
        region_name=settings.s3_region or None,
    )
    try:
        answer = service.assume_role(
            RoleArn=settings.machine_s3_role,
            RoleSessionName=f"mecapy-{machine}",
            DurationSeconds=int(min(for_s, MOST_S)),
            Policy=json.dumps(policy(settings.blob_url)),
        )
    except (BotoCoreError, ClientError) as refused:
        raise NoStoreKeys(f"MECAPY_MACHINE_S3_ROLE cannot be taken: {refused}") from None
    given = cast(Mapping[str, str], answer["Credentials"])
    return {
        "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
        "AWS_SESSION_TOKEN": given["SessionToken"],
    }


def policy(blob_url: str) -> JsonObject:
    """What these keys may do, whatever else the role may."""
    parts = urlsplit(blob_url)
    bucket = f"arn:aws:s3:::{parts.netloc}"
    prefix = parts.path.strip("/")
    objects = f"{bucket}/{prefix}/*" if prefix else f"{bucket}/*"
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": list(_OF_OBJECTS), "Resource": objects},
            {"Effect": "Allow", "Action": list(_OF_BUCKET), "Resource": bucket},
        ],
    }
