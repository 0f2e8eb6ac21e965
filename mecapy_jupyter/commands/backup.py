"""`mecapy backup` and `mecapy restore`. The server part does both."""

from __future__ import annotations

import argparse
import os

from mecapy_jupyter.commands.arguments import AddCommand, server_part
from mecapy_jupyter.shared import errors

_WHAT = (
    "Without MECAPY_DATABASE_URL: of the embedded stack in --data. With it and the gateway's other "
    "settings: of the services that they name."
)


def add_commands(add: AddCommand) -> None:
    backup = add("backup", _backup, f"copy the database and the blobs into a folder. {_WHAT}")
    restore = add("restore", _restore, f"bring back what `mecapy backup` copied. {_WHAT}")
    backup.add_argument("folder", metavar="DIR", help="only you can read it afterwards")
    restore.add_argument("folder", metavar="DIR", nargs="?", help="a folder of `mecapy backup`")
    backup.add_argument("--replace", action="store_true", help="bring the backup in DIR up to date")
    restore.add_argument(
        "--replace", action="store_true", help="first delete everything in the database"
    )
    restore.add_argument(
        "--reconcile",
        action="store_true",
        help="restore nothing; after the database was set back, find the blobs that are missing",
    )
    for command in (backup, restore):
        command.add_argument("--data", metavar="DIR", help="data directory of an embedded stack")


def _backup(options: argparse.Namespace) -> int:
    os.umask(0o077)  # what it writes is for its user alone
    backup = server_part("mecapy_backend.stack.backup").backup
    return backup(options.folder, options.data, replace=options.replace)


def _restore(options: argparse.Namespace) -> int:
    os.umask(0o077)
    part = server_part("mecapy_backend.stack.backup")
    if options.reconcile:
        return part.reconcile(options.data)
    if not options.folder:
        raise errors.ConfigError("name the folder to restore from: `mecapy restore DIR`")
    return part.restore(options.folder, options.data, replace=options.replace)
