"""A real S3 server for tests and benchmarks: SeaweedFS in one process, on free ports of loopback,
with a bucket `blobs`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from .ports import free_port

_KEY, _SECRET = "key", "secret"
KEYS = {"AWS_ACCESS_KEY_ID": _KEY, "AWS_SECRET_ACCESS_KEY": _SECRET}
PROGRAM = Path(sys.executable).with_name("weed")
_NAMES = (
    "s3.port s3.port.grpc master.port master.port.grpc filer.port filer.port.grpc "
    "volume.port volume.port.grpc "
)
_MORE = "webdav.port admin.port admin.port.grpc s3.port.iceberg s3.port.lance"


@contextmanager
def served(folder: Path, iam: Path | None = None) -> Generator[str]:
    """Its URL. `KEYS` are what it lets in. `iam`: a file with roles, which it lets them take."""
    ports = {name: free_port() for name in (_NAMES + _MORE).split()}
    options = [
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-bucket=blobs",
        "-admin.ui=false",
    ]
    options += [f"-s3.iam.config={iam}"] if iam else []
    options += [f"-{name}={port}" for name, port in ports.items()]
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder)} | KEYS
    with (
        (folder / "log").open("wb") as log,
        subprocess.Popen(
            [PROGRAM, "mini", *options], stdout=log, stderr=log, env=environment, cwd=folder
        ) as server,
    ):
        url = f"http://127.0.0.1:{ports['s3.port']}"
        try:
            _wait_for(url, server, folder / "log")
            yield url
        finally:
            server.terminate()
            try:
                server.wait(10)
            except subprocess.TimeoutExpired:
                server.kill()


def _wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    store = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id=_KEY,
        aws_secret_access_key=_SECRET,
    )
    until = time.monotonic() + 240
    while True:
        assert server.poll() is None and time.monotonic() < until, log.read_text(errors="replace")[
            -3000:
        ]
        try:  # it answers before it knows its keys
            store.head_bucket(Bucket="blobs")
            return
        except (BotoCoreError, ClientError):
            time.sleep(0.1)
