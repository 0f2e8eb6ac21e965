"""`mecapy enable`: every kernel of an IPython profile knows `%%mecapy`, without `%load_ext`."""

from __future__ import annotations

import argparse
from pathlib import Path

from mecapy_jupyter.commands.arguments import AddCommand

_FILE = "50-mecapy.py"
_STARTUP = '''"""Written by `mecapy enable`; `mecapy enable --off` deletes it."""

# This profile may be that of environments without MecaPy, too.
import importlib.util

if importlib.util.find_spec("mecapy_jupyter"):
    get_ipython().run_line_magic("load_ext", "mecapy_jupyter")
del importlib
'''


def add_commands(add: AddCommand) -> None:
    what = "make every notebook know the magics, without loading the extension"
    command = add("enable", _run, what)
    command.add_argument(
        "--profile", default="default", metavar="NAME", help="of IPython (default: default)"
    )
    off = "notebooks load the extension themselves again"
    command.add_argument("--off", action="store_true", help=off)


def _run(options: argparse.Namespace) -> None:
    path = _startup(options.profile) / _FILE
    if options.off:
        path.unlink(missing_ok=True)
        print(f"off: notebooks of the profile {options.profile!r} need %load_ext again")
        return
    path.write_text(_STARTUP)
    print(f"on: new kernels of the profile {options.profile!r} know %%mecapy ({path})")


def _startup(profile: str) -> Path:
    from IPython.core.profiledir import ProfileDir
    from IPython.paths import get_ipython_dir

    folder: str = get_ipython_dir()
    made = ProfileDir.create_profile_dir_by_name(folder, profile)  # pyright: ignore[reportUnknownMemberType]
    return Path(str(made.startup_dir))
