"""axe-core, the checker of accessibility, for the tests of pages. `python -m tests.browser.axe`
fetches it with npm, once.

It is kept outside the checkout, for all checkouts of this user. A run of the tests never downloads
it: where it is not there, the tests that need it are skipped and say this.
"""

from __future__ import annotations

import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from ..security.keycloak import CACHE

if TYPE_CHECKING:
    from playwright.async_api import Page

VERSION = "4.14.1"
PLACE = CACHE / f"axe-core-{VERSION}.min.js"
_FOUND = """async () => {
  const found = await axe.run(document, { resultTypes: ["violations"] });
  return found.violations
    .filter(one => ["serious", "critical"].includes(one.impact))
    .map(one => `${one.id}: ${one.nodes.map(node => node.html).join(" | ").slice(0, 400)}`);
}"""


def why_not() -> str:
    """Why there is none here; empty: there is."""
    return "" if PLACE.exists() else "needs axe-core (python -m tests.browser.axe fetches it)"


def fetch() -> None:
    """Into the cache. Nothing to do when it is there."""
    if PLACE.exists():
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        pack = ("npm", "pack", "--silent", f"axe-core@{VERSION}")
        subprocess.run(pack, check=True, cwd=folder, timeout=300)
        with tarfile.open(next(Path(folder).glob("*.tgz"))) as archive:
            script = archive.extractfile("package/axe.min.js")
            assert script
            made = Path(folder) / PLACE.name
            made.write_bytes(script.read())
        made.rename(PLACE)


async def serious(page: Page) -> list[str]:
    """What it finds on the page that is serious or worse, rule and elements."""
    await page.evaluate(PLACE.read_text())
    return await page.evaluate(_FOUND)


if __name__ == "__main__":
    fetch()
    print(PLACE)
