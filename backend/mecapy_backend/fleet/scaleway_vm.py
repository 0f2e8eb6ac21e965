"""Provider `scaleway-vm`: each machine is an Instance of Scaleway with one worker in a container.
All that it consists of carries the machine's tag; what a POST without an answer may have made is
found by it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping

from mecapy_backend.fleet import scaleway_sdk as sdk
from mecapy_backend.fleet.classes import MachineClass
from mecapy_backend.fleet.cloud_config import cloud_config
from mecapy_backend.fleet.provider import ProviderRefused, Tag
from mecapy_backend.fleet.scaleway_sdk import ANSWER_S, ScalewayRefused, asked, client, instance

_OFF = instance.ServerState.STOPPED, instance.ServerState.STOPPED_IN_PLACE
_BOOTABLE = sdk.marketplace.LocalImageType.INSTANCE_SBS
_IMAGE = "ubuntu_noble"  # its kernel has Landlock, with TCP
_AWAY_S = 300.0
_GONE_WITHIN_S = 120.0
_LOOK_S = 1.0


class ScalewayVmProvider:
    """`zones`: where its machines may be, all of them looked through. `url`: the gateway's address
    for machines; `settings`: of their workers, none of them a secret.
    """

    def __init__(
        self,
        zones: tuple[str, ...],
        url: str,
        settings: Mapping[str, str],
        *,
        answer_s: float = ANSWER_S,
        look_s: float = _LOOK_S,
    ) -> None:
        opened = client(answer_s)
        self._zones, self._url, self._settings, self._look_s = zones, url, settings, look_s
        self._servers, self._volumes = sdk.InstanceUtilsV1API(opened), sdk.BlockV1API(opened)
        self._images = sdk.marketplace.MarketplaceV2API(opened)
        self._away_s: dict[str, float] = {}
        self._known: dict[str, dict[str, str]] = {}

    def start(self, tag: Tag, machine: MachineClass, token: str) -> str:
        """Start it in the first zone that has one of its types; a zone that does not work is left
        out for some minutes.
        """
        refusals: list[str] = []
        for zone in machine.zones:
            for kind in machine.types:
                if time.monotonic() - self._away_s.get(zone, -_AWAY_S) < _AWAY_S:
                    break
                try:
                    handle = self._start_in(zone, kind, tag, machine, token)
                    self._known.setdefault(zone, {})[tag.machine] = handle
                    return handle
                except ScalewayRefused as refused:
                    refusals.append(str(refused))
                    if refused.away:
                        self._away_s[zone] = time.monotonic()
                    if refused.final or refused.unsure:
                        raise  # the next round finds by its tag what may be there
        raise ProviderRefused(
            "; ".join(refusals) or "its zones failed recently; the fleet asks again later"
        )

    def stop(self, handle: str, tag: Tag) -> None:
        """The server, then its volumes, which survive it, and addresses."""
        known = handle.partition("/")[0]
        for zone in (known,) if known else self._zones:
            for server in self._servers_of(zone, str(tag)):
                self._tag_volumes(zone, server, tag)
                self._end(zone, server)
            where = f"{tag} in {zone}"
            for volume in asked(where, lambda z=zone: self._tagged_volumes(z, str(tag))):
                self._gone(where, lambda v=volume, z=zone: self._volumes.delete_volume(
                    volume_id=v, zone=z))  # fmt: skip
            for ip in asked(where, lambda z=zone: self._tagged_ips(z, str(tag))):
                self._gone(where, lambda i=ip, z=zone: self._servers.delete_ip(ip=i, zone=z))

    def list(self, stack: str) -> Mapping[str, str]:
        """A zone that does not answer has what it had: nothing of it is given up for that."""
        found: dict[str, str] = {}
        for zone in self._zones:
            try:
                self._known[zone] = self._machines_in(zone, stack)
            except ScalewayRefused as refused:
                if not refused.away or zone not in self._known:
                    raise
                self._away_s[zone] = time.monotonic()
            found |= self._known[zone]
        return found

    def _machines_in(self, zone: str, stack: str) -> dict[str, str]:
        found: dict[str, str] = {}
        for tags, handle in self._there(zone, f"mecapy-stack={stack}"):
            for tag in filter(None, map(Tag.of, tags)):
                if tag.stack == stack:
                    found.setdefault(tag.machine, f"{zone}/{handle}")
        return found

    def _there(self, zone: str, tag: str) -> Iterator[tuple[list[str], str]]:
        for server in self._servers_of(zone, tag):
            yield server.tags, server.id
        where = f"in {zone}"
        volumes = asked(where, lambda: self._volumes.list_volumes_all(
            include_deleted=False, zone=zone, tags=[tag]))  # fmt: skip
        yield from ((one.tags, one.id) for one in volumes)
        ips = asked(where, lambda: self._servers.list_ips_all(zone=zone, tags=[tag]))
        yield from ((one.tags, one.id) for one in ips)

    def _start_in(self, zone: str, kind: str, tag: Tag, machine: MachineClass, token: str) -> str:
        where, tags = f"{kind} in {zone}", _tags(tag, machine)
        image = self._image(where, zone, kind)
        config = cloud_config(tag, machine, self._url, token, self._settings)
        made = asked(where, lambda: self._servers.create_server(
            zone=zone, commercial_type=kind, name=str(tag), image=image, tags=tags,
            dynamic_ip_required=True,
        ))  # fmt: skip
        server = made.server
        if server is None:
            raise ScalewayRefused(f"Scaleway, {where}: an answer without a server", unsure=True)
        try:
            self._tag_volumes(zone, server, tag)
            asked(where, lambda: self._servers.set_server_user_data(
                server.id, "cloud-init", config.encode(), zone))  # fmt: skip
            asked(where, lambda: self._servers.server_action(
                server_id=server.id, zone=zone, action=instance.ServerAction.POWERON))  # fmt: skip
        except ScalewayRefused as refused:
            if not refused.away:
                self.stop(f"{zone}/{server.id}", tag)
                raise
            raise ScalewayRefused(str(refused), away=True, unsure=True) from None
        return f"{zone}/{server.id}"

    def _image(self, where: str, zone: str, kind: str) -> str:
        found = asked(where, lambda: self._images.list_local_images_all(
            image_label=_IMAGE, zone=zone, type_=_BOOTABLE))  # fmt: skip
        fitting = [one.id for one in found if kind in one.compatible_commercial_types]
        if not fitting:
            raise ScalewayRefused(f"Scaleway, {where}: there is no such type in this zone")
        return fitting[0]

    def _servers_of(self, zone: str, tag: str) -> list[instance.Server]:
        where = f"in {zone}"
        return asked(where, lambda: self._servers.list_servers_all(zone=zone, tags=[tag]))

    def _tagged_volumes(self, zone: str, tag: str) -> list[str]:
        found = self._volumes.list_volumes_all(include_deleted=False, zone=zone, tags=[tag])
        return [one.id for one in found]

    def _tagged_ips(self, zone: str, tag: str) -> list[str]:
        return [one.id for one in self._servers.list_ips_all(zone=zone, tags=[tag])]

    def _tag_volumes(self, zone: str, server: instance.Server, tag: Tag) -> None:
        """Made with the server, and without its tags: after it nobody would know whose they are."""
        for volume in server.volumes.values():
            if volume.volume_type == "sbs_volume":
                asked(f"the volume of {tag}", lambda v=volume: self._volumes.update_volume(
                    volume_id=v.id, zone=zone, tags=[f"mecapy-stack={tag.stack}", str(tag)],
                ))  # fmt: skip

    def _end(self, zone: str, server: instance.Server) -> None:
        """A server that is off cannot be terminated, only deleted."""
        where = f"{server.name} in {zone}"

        def end() -> None:
            if server.state in _OFF:
                self._servers.delete_server(server_id=server.id, zone=zone)
            else:
                self._servers.server_action(
                    server_id=server.id, zone=zone, action=instance.ServerAction.TERMINATE
                )

        try:
            asked(where, end)
        except ScalewayRefused as refused:
            if refused.away or refused.final:
                raise  # else it is on its way out, or starts: the next look shows it
        until = time.monotonic() + _GONE_WITHIN_S
        while time.monotonic() < until:
            try:
                asked(where, lambda: self._servers.get_server(server_id=server.id, zone=zone))
            except ScalewayRefused as refused:
                if refused.gone:
                    return
                raise
            time.sleep(self._look_s)

    def _gone(self, where: str, delete: Callable[[], object]) -> None:
        """A volume is held for a moment by the server that was there: the next round deletes it."""
        try:
            asked(where, delete)
        except ScalewayRefused as refused:
            if refused.away or refused.final:
                raise


def _tags(tag: Tag, machine: MachineClass) -> list[str]:
    until = time.time() + machine.hours * 3600
    return ["mecapy", f"mecapy-stack={tag.stack}", str(tag), f"mecapy-until={until:.0f}"]
