"""`mecapy fleet …`: machines that come and go. The server part does the work."""

from __future__ import annotations

import argparse

from mecapy_jupyter.commands.arguments import AddCommand, count, server_part

_SIMULATE = "mecapy_backend.fleet.simulate_command"


def add_commands(add: AddCommand) -> None:
    fleet = add("fleet", _simulate, "start and stop machines as tasks need them")
    what = fleet.add_subparsers(metavar="simulate", required=True)
    simulate = what.add_parser(
        "simulate",
        help="waits, machines and cost of a load, with the production policy and queue order",
    )
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
        help="run times of the tasks in MECAPY_DATABASE_URL instead",
    )
    simulate.add_argument(
        "--machine", metavar="CLASS", help="a class of MECAPY_MACHINES; default: DEV1-M"
    )
    simulate.add_argument(
        "--constants", action="store_true", help="what each constant of the policy does"
    )


def _simulate(options: argparse.Namespace) -> int:
    simulate = server_part(_SIMULATE).simulate
    return simulate(
        options.tasks_a_day,
        options.arrivals,
        options.seconds,
        options.machine,
        measured=options.measured,
        constants=options.constants,
    )
