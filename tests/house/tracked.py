"""Nothing of one machine in what is tracked: no package index, no path of a home or workplace.
`make check` runs it.

    python -m tests.house.tracked

A lock file, a notebook's metadata or a copied log brings such lines in unnoticed; then a clone
installs from a place that is not there.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# Assembled, so that this file does not find itself.
FOREIGN = {
    "a package index": re.compile(
        "--(extra-)?index" + "-url|--find" + "-links|/simp" + "le/?['\"\\s]|files.python" + "hosted"
    ),
    "a path of one machine": re.compile(
        r"(?<![\w.:}])/(ro" + r"ot|wo" + r"rk|Us" + r"ers|ho" + r"me)/(?!nobody\b)[\w.]+"
    ),
}


def tracked() -> list[Path]:
    """The files git knows; in an unpacked archive, where there is no git, every text-like file."""
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listing.returncode == 0:
        return [
            path
            for name in listing.stdout.decode().split("\0")
            if name and (path := ROOT / name).is_file()
        ]
    return [
        path
        for path in ROOT.rglob("*")
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
    ]


def findings() -> Iterator[str]:
    for path in tracked():
        content = path.read_bytes()
        if b"\0" in content:
            continue
        for number, line in enumerate(content.decode("utf-8", "replace").splitlines(), 1):
            for what, pattern in FOREIGN.items():
                if pattern.search(line):
                    yield f"{path.relative_to(ROOT)}:{number}: {what}: {line.strip()[:120]}"


if __name__ == "__main__":
    found = list(findings())
    print("\n".join(found) or "nothing of one machine in the tracked files")
    sys.exit(bool(found))
