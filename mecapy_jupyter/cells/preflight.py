"""Before a cell is sent: do the workers' Python and packages fit? Asks the gateway at most once a
minute, and imports nothing.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Executor
from contextvars import ContextVar, copy_context
from functools import lru_cache

from mecapy_jupyter.client import gateway_api
from mecapy_jupyter.client.http import Gateway
from mecapy_jupyter.content_key import packages
from mecapy_jupyter.shared import errors, version
from mecapy_jupyter.travel.environment import user_modules
from mecapy_jupyter.travel.pickling import payload
from mecapy_jupyter.wire import InstalledPackages

_FRESH_S, _SEEN_WITHIN_S, _LOOK_S = 60.0, 5.0, 0.25
_OURS = frozenset({"__main__", "mecapy_jupyter", "cloudpickle", "builtins"})
_LOOSE = frozenset({"sys", "importlib", "__import__", "site", "zipimport"})
"""A cell with these words may make its modules importable itself."""


_known: dict[str, tuple[float, InstalledPackages]] = {}
_said: set[str] = set()


def workers(gateway: Gateway) -> InstalledPackages:
    """The gateway's answer, kept for a minute. Nothing if it cannot answer."""
    asked_s, known = _known.get(gateway.url, (0.0, InstalledPackages()))
    if not asked_s or time.monotonic() - asked_s > _FRESH_S:
        try:
            known = gateway_api.packages(gateway, version.minor())
        except (errors.NotFound, errors.Refused):  # an older gateway
            known = InstalledPackages()
        if known.python:
            _known[gateway.url] = time.monotonic(), known
    return known


def installed_since(gateway: Gateway, before: InstalledPackages) -> InstalledPackages:
    """Asks again, because a package was missing: the embedded stack notices an installation after a
    moment.
    """
    until = time.monotonic() + (_SEEN_WITHIN_S if gateway.embedded else 0)
    while True:
        _known.pop(gateway.url, None)
        now = workers(gateway)
        if now != before or time.monotonic() >= until:
            return now
        time.sleep(_LOOK_S)


def check_python(there: InstalledPackages) -> None:
    """Raises PythonMismatch, because a worker could not open the pickle."""
    here = version.minor()
    if there.python and here not in there.python:
        theirs = " and ".join(there.python)
        raise errors.PythonMismatch(
            f"This notebook runs Python {here} and the workers Python {theirs}; use a kernel with "
            f"Python {' or '.join(there.python)}."
        )


def certain_imports(source: str) -> dict[str, int]:
    """Top-level module → line, of imports that always run. Empty for a cell that may change what is
    importable.
    """
    tree = ast.parse(source)
    if any(isinstance(node, ast.Name) and node.id in _LOOSE for node in ast.walk(tree)):
        return {}
    found: dict[str, int] = {}
    for node in tree.body:
        for name in _imported(node):
            found.setdefault(name.partition(".")[0], node.lineno)
    return found


def _imported(node: ast.stmt) -> Iterator[str]:
    match node:
        case ast.Import(names):
            yield from (alias.name for alias in names)
        case ast.ImportFrom(str(module), _, 0):
            yield module
        case _:
            pass


def missing(names: Iterable[str], there: InstalledPackages) -> list[str]:
    """The top-level modules among these that are installed here and missing on the workers."""
    if not there.packages:
        return []
    wanted = (
        {name.partition(".")[0] for name in names}
        - _OURS
        - sys.stdlib_module_names
        - there.packages.keys()
    )
    return sorted(name for name in wanted if name and _installed_here(name))


def differing(names: Iterable[str], there: InstalledPackages) -> dict[str, tuple[str, str]]:
    """Distribution → (version here, version there), where more than the last part differs."""
    found: dict[str, tuple[str, str]] = {}
    for name in sorted({name.partition(".")[0] for name in names} & there.packages.keys()):
        distribution = there.packages[name]
        here = packages.installed(distribution.name) if distribution.name else ""
        if here and any(_series(version) != _series(here) for version in distribution.versions):
            found[distribution.name] = here, " and ".join(distribution.versions)
    return found


def check(
    packed: payload.Packed,
    needed: Iterable[str],
    source: str,
    there: InstalledPackages,
    above: int,
    files: bool,
    adds: bool = False,
) -> list[str]:
    """Raises PackageMissing for a missing package.

    Returns remarks, each once in a kernel. `needed`: modules that the cell imports; `above`: lines
    of the cell above `source`; `files`: its own files, which may be modules; `adds`: it
    names packages, and only the worker knows which modules those have.
    """
    check_python(there)
    if not adds and (lacking := missing(packed.modules, there)):
        raise errors.PackageMissing(_sentence(lacking[0], "a variable of the cell needs it", there))
    certain = {} if files or adds else certain_imports(source)
    if lacking := missing(certain, there):
        raise errors.PackageMissing(
            _sentence(lacking[0], f"line {certain[lacking[0]] + above} imports it", there)
        )
    remarks = [
        (
            f"{name} is {here} here and {theirs} on the workers; if results differ or "
            "cannot be opened, install the workers' version here"
        )
        for name, (here, theirs) in differing({*packed.modules, *needed}, there).items()
    ]
    remarks += [
        f"{path} of your module did not travel: a {type(value).__qualname__} cannot be pickled; "
        "on the worker it is as the module's import makes it"
        for path, value in packed.left.items()
        if not _is_made_anew(value)
    ]
    new = [sentence for sentence in remarks if sentence not in _said]
    _said.update(new)
    return new


def _is_made_anew(value: object) -> bool:
    """Whether its state may be lost: a thread, an executor, a context variable without a value."""
    if isinstance(value, ContextVar):
        return value not in copy_context()
    kind = type(value)
    return isinstance(value, Executor) or kind.__module__ in ("threading", "_thread")


def _sentence(name: str, why: str, there: InstalledPackages) -> str:
    todo = "ask your operator to install it there, or keep it out of the cell"
    if there.adds != "off":
        owners = importlib.metadata.packages_distributions().get(name, [name])
        todo = f"`%%mecapy --with {owners[0]}` installs it for the cell"
    return f"the workers do not have the package {name!r}, and {why}; {todo}"


def _series(version: str) -> list[str]:
    return version.split(".")[:2]


@lru_cache(maxsize=1024)
def _installed_here(name: str) -> bool:
    """Whether it is an installed package, and not a user-defined module, which travels."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError):
        return False
    if spec is None:
        return False
    try:
        return not user_modules.collect([name])
    except errors.CannotSend:  # a compiled module of the user's: packing reports it
        return False
