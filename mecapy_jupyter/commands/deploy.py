"""`mecapy deploy …`: workers, a gateway, images. The server part does the work."""

from __future__ import annotations

import argparse
from pathlib import Path

from mecapy_jupyter.commands.arguments import AddCommand, count, server_part

_WORKERS, _IMAGE = "mecapy_backend.deploy.workers", "mecapy_backend.deploy.image"
_CLEVER = "mecapy_backend.deploy.clever_cloud"


def add_commands(add: AddCommand) -> None:
    deploy = add(
        "deploy", _workers, "set what runs where (docs/fleet.md); repeating it changes nothing"
    )
    what = deploy.add_subparsers(metavar="workers | gateway | image", required=True)
    workers = what.add_parser("workers", help="how many machines of a class there should be")
    workers.set_defaults(run=_workers)
    workers.add_argument("count", type=_number, metavar="N", help="machines that always run")
    workers.add_argument("--on", required=True, metavar="PROVIDER", help="as scaleway-vm")
    workers.add_argument(
        "--max", type=count, default=0, metavar="M", help="machines at most, while tasks wait"
    )
    workers.add_argument(
        "--class", dest="name", default="", help="the class, if PROVIDER has several"
    )
    workers.add_argument("--image", default="", help="the worker's container image")
    gateway = what.add_parser("gateway", help="a gateway on a platform")
    gateway.set_defaults(run=_gateway)
    gateway.add_argument("--on", required=True, choices=["clever-cloud"], metavar="clever-cloud")
    gateway.add_argument(
        "--name", default="mecapy", help="name of the application; default: mecapy"
    )
    gateway.add_argument("--region", default="par", help="default: par")
    gateway.add_argument(
        "--organisation", default="", metavar="ID", help="default: your personal one"
    )
    gateway.add_argument(
        "--folder", type=Path, default=Path("mecapy-gateway"), help="default: mecapy-gateway"
    )
    gateway.add_argument(
        "--wheel", type=Path, help="a wheel of MecaPy, instead of the published one"
    )
    image = what.add_parser("image", help="images of the worker or the gateway, one per Python")
    image.set_defaults(run=_image)
    image.add_argument("--part", choices=["worker", "gateway"], default="worker")
    image.add_argument("--python", action="append", metavar="3.x", help="default: each tested one")
    image.add_argument("--repository", default="", help="repository of the images")
    image.add_argument("--source", type=Path, default=Path(), help="a checkout; default: here")
    image.add_argument("--push", action="store_true", help="push the images to the repository")
    image.add_argument("more", nargs="*", metavar="-- WORDS", help="for the engine's build")
    for one in (workers, gateway, image):
        one.add_argument("--dry-run", action="store_true", help="print what would be done")


def _number(text: str) -> int:
    return int(text) and count(text)


def _workers(options: argparse.Namespace) -> int:
    part = server_part(_WORKERS)
    wanted = part.WantedWorkers(options.count, options.on, options.name, options.max, options.image)
    return part.deploy(wanted, dry_run=options.dry_run)


def _gateway(options: argparse.Namespace) -> int:
    part = server_part(_CLEVER)
    wanted = part.WantedGateway(
        options.name, options.region, options.organisation, options.folder, options.wheel
    )
    return part.deploy(wanted, dry_run=options.dry_run)


def _image(options: argparse.Namespace) -> int:
    part = server_part(_IMAGE)
    wanted = part.WantedImages(
        options.part, options.repository, options.python or part.PYTHONS, options.source,
        options.push, options.more,
    )  # fmt: skip
    return part.deploy(wanted, dry_run=options.dry_run)
