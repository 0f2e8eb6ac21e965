"""The words of `mecapy cancel | extend | logs | get | attach | run`, imported late."""

from __future__ import annotations

from collections.abc import Sequence

from mecapy_jupyter.cells import task_options
from mecapy_jupyter.commands.arguments import AddCommand, add_json, later

_ID = "its id, the beginning of it, or `last` (the default)"


def add_commands(add: AddCommand) -> None:
    cancel = add("cancel", later("own_tasks.cancel"), "stop a task, or all that wait or run")
    cancel.add_argument("id", metavar="ID", nargs="?", default="last", help=f"{_ID}; or `all`")
    extend = add("extend", later("own_tasks.extend"), "let a task run longer")
    extend.add_argument("id", metavar="ID", nargs="?", default="last", help=_ID)
    extend.add_argument("more", metavar="MORE", nargs="?", default="10m", help="10m (the default)")
    logs = add("logs", later("own_tasks.logs"), "all that a task printed")
    logs.add_argument("id", metavar="ID", nargs="?", default="last", help=_ID)
    logs.add_argument("-f", "--follow", action="store_true", help="go on until it ends")
    get = add("get", later("own_tasks.get"), "print variables, and fetch files, of a finished task")
    get.add_argument("id", metavar="ID", help=_ID.replace(" (the default)", ""))
    names = "variables or files; default: all variables"
    get.add_argument("names", metavar="NAME", nargs="*", default=[], help=names)
    text = "print a task's output, go on live, and end as it ends"
    attach = add("attach", later("own_tasks.attach"), text)
    attach.add_argument("id", metavar="ID", nargs="?", default="last", help=_ID)
    for one in (get, attach):
        one.add_argument(
            "--trust", action="store_true", help="open what was not submitted with your key"
        )
    text = "run a script on a worker, with the files of this folder; its arguments follow after --"
    run = add("run", later("own_tasks.run"), text)
    run.add_argument("script", metavar="SCRIPT", help="its path; -: the standard input")
    task_options.add(run.add_argument)
    run.add_argument(
        "--no-folder", dest="folder", action="store_false", help="send only what --files names"
    )
    run.add_argument("--bg", action="store_true", help="print the task's id and return at once")
    add_json(cancel, extend, logs, get, attach, run)


def split_script(words: Sequence[str]) -> tuple[Sequence[str], Sequence[str]]:
    """The words of `mecapy run SCRIPT … -- ARGUMENT…`, without and of the arguments."""
    if words[:1] != ["run"] or "--" not in words:
        return words, ()
    at = words.index("--")
    return words[:at], words[at + 1 :]
