"""What crosses a process: each shape reads what it wrote, and what other releases write."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest

from mecapy_jupyter import wire

AT = datetime(2026, 3, 1, 12, 30, tzinfo=UTC)
ERROR = wire.ErrorInfo("cell", "ValueError", "no", 3, ("a", "b"))
PAYLOAD = wire.Payload(b"\x80\x05", "d" * 64, ("e" * 64,))
QUOTAS = {"bytes": wire.Quota(1.5, 10.0, 8.5), "queued": wire.Quota(2.0)}

SHAPES = [
    wire.TaskRequest(
        "x",
        "n",
        {"a": [1, {"b": None}]},
        ("y",),
        ("*.vtk",),
        8,
        60.0,
        2,
        PAYLOAD,
        wire.Cell(5, "%%mecapy", "<cell>"),
        "3.12",
        needs={"mesh": "task:0a0b0c0d-0000-4000-8000-000000000000:nodes"},
        workflow="w",
    ),
    wire.Outcome("failed", {"x": [1.5]}, ERROR, PAYLOAD, 1.25, 0.5),
    wire.TaskStatus(
        "id",
        "running",
        "n",
        2,
        3.5,
        1,
        7,
        AT,
        AT,
        None,
        None,
        "w",
        True,
        {"x": 1},
        ERROR,
        (wire.Attempt(1, "w", AT, AT, "worker_lost", "gone"),),
        ("a", "b"),
        "w",
    ),
    wire.TaskPage((wire.TaskStatus("id"),), "cursor"),
    wire.StartedEvent("w", 2, 4_000),
    wire.StdoutEvent("a"),
    wire.StderrEvent("b"),
    wire.DisplayEvent("update_display_data", {"text/plain": "a"}, {"isolated": True}, "7"),
    wire.DisplayEvent("clear_output", wait=True),
    wire.CommEvent("comm_open", "m", {"state": {"value": 1}}, ("AAA=",)),
    wire.ProgressEvent(0.5, "half"),
    wire.UsageEvent(99.5, 4_000, 1.5, 3, 10),
    wire.Me(
        "o", "Ada", "a@b", "manager", "acme", ("read",), {"queued": 1}, {"keep_s": 3.0}, 2.0, QUOTAS
    ),
    wire.Me("o", organisation="acme", organisation_quotas=QUOTAS),
    wire.TokenInfo("id", "ci", ("read",), AT, AT, None, "secret"),
    wire.LoginOffer("https://issuer", "mecapy", "openid"),
    wire.InstalledPackages(("3.12",), {"yaml": wire.Distribution("PyYAML", ("6.0", "6.1"))}),
    wire.BlobSize("d" * 64, 5),
    wire.MissingBlobs((wire.MissingBlob("d" * 64, "/blobs/d"),)),
    wire.StoreFolders("/in", "/blobs"),
    wire.TakenBlobs((wire.BlobSize("d" * 64, 5),)),
    wire.PartUrls("u", 8, ("https://a", "https://b"), 60.0),
    wire.WorkflowStatus(
        "w", "n", AT, {"failed": 2}, (wire.WorkflowTask("t", "n", "failed", ("p",)),)
    ),
    wire.Readiness("ok", {"redis": "away"}, {"redis": "start it"}, "1.2", AT),
]
IDS = [type(shape).__name__ for shape in SHAPES]


@pytest.mark.parametrize("shape", SHAPES, ids=IDS)
def test_what_is_written_is_read(shape) -> None:
    """Each shape comes out of JSON text as it went in."""
    assert type(shape).from_json(json.loads(json.dumps(shape.as_json()))) == shape


@pytest.mark.parametrize("shape", SHAPES, ids=IDS)
def test_a_newer_release_may_say_more(shape) -> None:
    """Fields that this release does not know are ignored."""
    assert type(shape).from_json(shape.as_json() | {"new_field": {"a": 1}}) == shape


LENIENT = [
    (wire.TaskRequest, {"code": "x"}, wire.TaskRequest("x")),
    (wire.TaskStatus, {"task_id": "i", "status": "queued"}, wire.TaskStatus("i")),
    (wire.TaskPage, {}, wire.TaskPage()),
    (wire.Me, {"owner": "o"}, wire.Me("o")),
    (wire.WorkerInfo, {"id": "w"}, wire.WorkerInfo("w")),
    (wire.InstalledPackages, {}, wire.InstalledPackages()),
    (wire.Outcome, {"state": "completed"}, wire.Outcome("completed")),
    (wire.StoreFolders, {"incoming": None, "blobs": None}, wire.StoreFolders()),
    (wire.LoginOffer, {"issuer": None}, wire.LoginOffer()),
    (wire.Readiness, {}, wire.Readiness()),
]


@pytest.mark.parametrize("shape, said, meant", LENIENT, ids=[one[0].__name__ for one in LENIENT])
def test_an_older_release_may_say_less(shape, said, meant) -> None:
    """Fields that are absent have their defaults."""
    assert shape.from_json(said) == meant


def test_a_request_without_priority_and_timeout_has_the_defaults() -> None:
    """The defaults stand in one place, and are those of the published contract."""
    request = wire.TaskRequest.from_json({"code": "x"})
    assert (request.priority, request.timeout) == (5, 300.0) == (wire.PRIORITY, wire.TIMEOUT_S)


def test_a_worker_stands_beside_its_id() -> None:
    """A row of `GET /workers` has the id beside what the worker says of itself."""
    confinement = wire.ConfinementInfo("strict", ("seccomp",), {"cgroup": "no"}, (), 4)
    worker = wire.WorkerInfo(
        "w", "host", 7, "1.0", 4, 2, "3.12.1", {"numpy": "2"}, ("a:1",), confinement, {"disk": "x"}
    )
    assert wire.WorkerInfo.from_json({"id": "w", "info": worker.as_json()}) == worker


def test_an_open_network_is_not_a_list() -> None:
    """A worker whose tasks reach everything says "open"; one whose tasks reach nothing, []."""
    for network, said in ((None, "open"), ((), [])):
        info = wire.WorkerInfo(network=network).as_json()
        assert info["network"] == said
        assert wire.WorkerInfo.from_json({"info": info}).network == network


@pytest.mark.parametrize(
    "body", [shape for shape in SHAPES if isinstance(shape, wire.EventBody)], ids=repr
)
def test_an_event_has_its_type_and_its_body(body) -> None:
    """An event's type says which shape its data has, and brings that back."""
    event = wire.Event.of(body, "1-0")
    assert event.body == body
    assert dataclasses.replace(event, type="of-a-newer-release").body is None


def test_the_final_event_is_named_by_the_final_state() -> None:
    """The final event's type is the state of its outcome."""
    assert wire.Event.of(wire.Outcome("cancelled")).type == "cancelled"


def test_wrong_types_have_defaults() -> None:
    """What a child says may be anything: a field of another type is as one that is absent."""
    said = {"fraction": "half", "text": 7}
    assert wire.ProgressEvent.from_json(said) == wire.ProgressEvent()
    huge = {"cpu_percent": float("nan"), "memory_bytes": 10**400, "processes": True}
    assert wire.UsageEvent.from_json(huge) == wire.UsageEvent()
    assert wire.DisplayEvent.from_json({"data": "text"}) == wire.DisplayEvent()
    assert wire.TaskStatus.from_json({"created_at": "yesterday", "history": 3}).created_at is None


def test_times_travel_as_utc() -> None:
    """A time of another zone is written as UTC, and one without a zone is read as UTC."""
    there = AT.astimezone(timezone(timedelta(hours=2)))
    assert wire.TaskStatus("i", created_at=there).as_json()["created_at"] == AT.isoformat()
    assert wire.TaskStatus.from_json({"created_at": "2026-03-01T12:30:00"}).created_at == AT


def test_a_token_does_not_show_itself() -> None:
    """A new token stands in no traceback."""
    assert "secret" not in repr(wire.TokenInfo("id", token="secret"))


def test_damaged_bytes_are_no_empty_ones() -> None:
    """A payload that cannot be decoded is an error: a cell would run without its inputs."""
    with pytest.raises(ValueError, match="padding"):
        wire.Payload.from_json({"pickle": "gAU"})
