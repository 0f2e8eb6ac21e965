"""The part of the small Scaleway that survives a server: volumes and addresses."""

from __future__ import annotations

import json
from typing import Any


class Storage:
    """`volumes`, `ips`: by their ids, as the real one describes them."""

    def __init__(self) -> None:
        self.volumes: dict[str, dict[str, Any]] = {}
        self.ips: dict[str, dict[str, Any]] = {}

    def list_volumes(self, query: Any, body: bytes, zone: str) -> tuple[int, Any]:
        found = [v for v in self.volumes.values() if v["zone"] == zone and fits(v, query)]
        return 200, {"volumes": page(found, query, "page_size"), "total_count": len(found)}

    def get_volume(self, query: Any, body: bytes, zone: str, number: str) -> tuple[int, Any]:
        found = self.volumes.get(number)
        return (200, found) if found else not_found("volume", number)

    def tag_volume(self, query: Any, body: bytes, zone: str, number: str) -> tuple[int, Any]:
        if number not in self.volumes:
            return not_found("volume", number)
        self.volumes[number]["tags"] = json.loads(body)["tags"]
        return 200, self.volumes[number]

    def delete_volume(self, query: Any, body: bytes, zone: str, number: str) -> tuple[int, Any]:
        if number not in self.volumes:
            return not_found("volume", number)
        if self.volumes[number]["references"]:
            return 412, {"type": "precondition_failed", "message": "volume is in use"}
        del self.volumes[number]
        return 204, None

    def list_ips(self, query: Any, body: bytes, zone: str) -> tuple[int, Any]:
        found = [ip for ip in self.ips.values() if ip["zone"] == zone and fits(ip, query)]
        return 200, {"ips": page(found, query, "perpage")}

    def delete_ip(self, query: Any, body: bytes, zone: str, number: str) -> tuple[int, Any]:
        return (204, None) if self.ips.pop(number, None) else not_found("ip", number)


def not_found(kind: str, number: str) -> tuple[int, Any]:
    return 404, {"type": "not_found", "resource": kind, "resource_id": number,
                 "message": "resource is not found"}  # fmt: skip


def fits(one: dict[str, Any], query: dict[str, str]) -> bool:
    return "tags" not in query or query["tags"] in one["tags"]


def page(found: list[Any], query: dict[str, str], size: str) -> list[Any]:
    page, count = int(query.get("page", 1)), int(query.get(size, 50))
    return found[(page - 1) * count : page * count]
