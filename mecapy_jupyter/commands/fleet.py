"""`mecapy fleet …`: machines that come and go. The server part does the work."""

from __future__ import annotations

import argparse

from mecapy_jupyter.commands.arguments import AddCommand, count, server_part

_SIMULATE, _FLEET = "mecapy_backend.fleet.simulate_command", "mecapy_backend.fleet.fleet_command"
_PLACES = "mecapy_backend.stack.places"


def add_commands(add: AddCommand) -> None:
    fleet = add("fleet", _run, "start and stop machines as tasks need them (docs/fleet.md)")
    fleet.add_argument(
        "--leave-none", action="store_true", help="stop its machines when it is stopped itself"
    )
    what = fleet.add_subparsers(metavar="[status | stop | resume | simulate]")
    for name, text in (
        ("status", "the machines, what waits, and what was spent today"),
        ("stop", "stop every machine, and start none until `resume`"),
        ("resume", "allow machines again"),
    ):
        what.add_parser(name, help=text).set_defaults(run=_asked, what=name)
    simulate = what.add_parser(
        "simulate",
        help="waits, machines and cost of a load, with the production policy and queue order",
    )
    _simulate_options(simulate)


def _simulate_options(simulate: argparse.ArgumentParser) -> None:
    simulate.set_defaults(run=_simulate)
    simulate.add_argument(
        "--tasks-a-day", type=count, action="append", metavar="N", help="default: 10³ to 10⁷"
    )
    simulate.add_argument(
        "--arrivals", action="append", metavar="HOW", help="steady, day-night, bursts or flooder"
    )
    simulate.add_argument(
        "--seconds",
        type=float,
        default=30.0,
        metavar="MEAN",
        help="mean run time; most tasks are shorter, few much longer; default: 30",
    )
    simulate.add_argument(
        "--measured",
        action="store_true",
        help="run times of the tasks in MECAPY_DATABASE_URL, or of your stack, instead",
    )
    simulate.add_argument(
        "--machine", metavar="CLASS", help="a class of MECAPY_MACHINES; default: DEV1-M"
    )
    simulate.add_argument(
        "--constants", action="store_true", help="what each constant of the policy does"
    )


def _run(options: argparse.Namespace) -> int:
    return server_part(_FLEET).run(leave_none=options.leave_none)


def _asked(options: argparse.Namespace) -> int:
    database_url = server_part(_PLACES).running_database()
    return getattr(server_part(_FLEET), options.what)(database_url)


def _simulate(options: argparse.Namespace) -> int:
    simulate = server_part(_SIMULATE).simulate
    database_url = server_part(_PLACES).running_database() if options.measured else ""
    return simulate(
        options.tasks_a_day,
        options.arrivals,
        options.seconds,
        options.machine,
        database_url,
        measured=options.measured,
        constants=options.constants,
    )
