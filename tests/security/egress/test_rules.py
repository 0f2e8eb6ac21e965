"""The list of allowed hosts and ports as it is read, and where no name on it may lead."""

from __future__ import annotations

import os
import re
import sys
from ipaddress import ip_address
from pathlib import Path

import pytest

from mecapy_backend.shared.settings import Settings
from mecapy_worker.egress import rules

from ..ground import worker
from ..test_strict import nowhere

if sys.platform != "linux":
    pytest.skip("nothing confines a child here", allow_module_level=True)


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("data.example.org", "a port from 1 to 65535"),
        ("data.example.org:", "a port from 1 to 65535"),
        ("data.example.org:https", "a port from 1 to 65535"),
        ("data.example.org:0", "a port from 1 to 65535"),
        ("data.example.org:65536", "a port from 1 to 65535"),
        ("https://data.example.org:443", "the host must be a name"),
        ("*:443", "the host must be a name"),
        ("a.*.example.org:443", "the host must be a name"),
        ("10.1.2.0/24:443", "the host must be a name"),
        ("10.1.2:443", "the host must be a name"),
        ("2001:db8::7:443", "an IPv6 address needs brackets"),
        ("0.0.0.0:80", "not the address of one host"),
        ("[fe80::1%eth0]:80", "not the address of one host"),
        ("two hosts:80", "the host must be a name"),
    ],
)
def test_a_bad_entry(entry: str, why: str) -> None:
    """It is named, with what is wrong with it and how entries look."""
    with pytest.raises(rules.BadRule, match=re.escape(why)) as refused:
        rules.of(listing(f"good.example.org:443, {entry}"))
    assert repr(entry) in str(refused.value) and "data.example.org:443" in str(refused.value)


def test_a_worker_refuses_a_bad_entry(tmp_path: Path) -> None:
    """It ends at once with that sentence, without a traceback."""
    with worker(
        tmp_path, os.geteuid(), nowhere("best-effort") | {"MECAPY_EGRESS": "data.example.org"}
    ) as process:
        assert process.wait(240) == 1
    said = (tmp_path / "worker.log").read_text()
    assert "MECAPY_EGRESS has the entry 'data.example.org'" in said and "Traceback" not in said


def listing(entries: str) -> Settings:
    return Settings(
        egress=entries, redis_url="redis://10.9.9.9/0", s3_endpoint_url="http://minio:9000"
    )  # pyright: ignore[reportCallIssue, reportArgumentType]


def test_entries_as_they_are_read() -> None:
    """Small letters, addresses in their usual form; empty entries are none; the deployment's own
    services are known with their ports.
    """
    found = rules.of(
        listing(
            "Data.Example.ORG.:443,, [2001:DB8:0::7]:80 , ::ffff:10.0.0.1:5, *.bücher.example:443"
        )
    )
    assert [str(rule) for rule in found.rules] == [
        "data.example.org:443",
        "[2001:db8::7]:80",
        "10.0.0.1:5",
        "*.xn--bcher-kva.example:443",
    ]
    assert [(one.host, one.port) for one in found.services] == [
        ("localhost", 5432),
        ("10.9.9.9", 6379),
        ("minio", 9000),
    ]
    assert rules.of(Settings()).rules == () and Settings().egress == ()


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.8.9.1", "::1", "0.0.0.0", "::", "169.254.169.254", "169.254.42.42",
        "fe80::1", "fd00:ec2::254", "100.100.100.200", "168.63.129.16", "192.0.0.192", "224.0.0.1",
        "255.255.255.255", "240.0.0.1", "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a9fe:a9fe::1",
        "2001:0:1:2:3:4:80ff:fffe",
    ],
)  # fmt: skip
def test_where_no_name_may_lead(address: str) -> None:
    """This machine, metadata, nobody's and everybody's address, and the same ones inside an address
    of IPv6.
    """
    assert rules.unfit(ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "93.184.215.14",
        "10.1.2.3",
        "192.168.7.7",
        "172.20.0.9",
        "2001:db8::7",
        "fd12::9",
        "64:ff9b::5db8:d70e",
    ],
)
def test_where_a_name_may_lead(address: str) -> None:
    """Anybody's public address, and private ones: there an engineer's licence server is."""
    assert not rules.unfit(ip_address(address))
