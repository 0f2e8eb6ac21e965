"""Answers of the page in HTML: templates that escape whatever they show, and headers that let the
browser load nothing from elsewhere and run no script but ours.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import HTMLResponse, RedirectResponse, Response

from mecapy_backend.page import formats

if TYPE_CHECKING:
    from jinja2 import Environment

_HERE = Path(__file__).parent
_STATIC = {"page.css": "text/css", "output.css": "text/css", "live.js": "text/javascript"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # with no-referrer, browsers send no Origin with our forms
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-DNS-Prefetch-Control": "off",  # names to look up say something, too
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}
_OWN_PATH = re.compile(r"/(page/[A-Za-z0-9/-]*)?")


def html(template: str, values: Mapping[str, object], status: int = 200) -> Response:
    text = _templates().get_template(template).render(values)
    return HTMLResponse(_encoded(text), status, HEADERS)


def live_part(template: str, mark: str, values: Mapping[str, object]) -> Response | None:
    """The block `live` alone, for a page that is open; 304 if it has not changed, None where there
    is no such block.
    """
    loaded = _templates().get_template(template)
    if "live" not in loaded.blocks:
        return None
    body = _encoded("".join(loaded.blocks["live"](loaded.new_context(dict(values)))))
    tag = sha256(body).hexdigest()[:32]
    if tag == mark:
        return Response(status_code=304)
    return HTMLResponse(body, headers=HEADERS | {"X-Mark": tag})


def _encoded(text: str) -> bytes:
    """A cell may print half a surrogate pair."""
    return text.encode(errors="replace")


def to(path: str) -> Response:
    """After a write: the browser fetches that page of ours."""
    return RedirectResponse(own_path(path), 303, HEADERS)


def own_path(path: str) -> str:
    """`path` if it is one of the page's, else its first: nobody is sent elsewhere from here."""
    return path if _OWN_PATH.fullmatch(path) else "/"


async def static(name: str) -> Response | None:
    """Our style and our script; None: there is no such file."""
    if name not in _STATIC:
        return None
    headers = {"Cache-Control": "max-age=86400", "Content-Security-Policy": "default-src 'none'"}
    return Response(static_files()[name], headers=headers, media_type=_STATIC[name])


@cache
def static_files() -> Mapping[str, bytes]:
    return {name: (_HERE / "static" / name).read_bytes() for name in _STATIC}


def _address(name: str) -> str:
    """The address with the digest of its content, so that a browser never shows an old one."""
    return f"/page/static/{name}?{sha256(static_files()[name]).hexdigest()[:12]}"


@cache
def _templates() -> Environment:
    """Imported when the first page is shown: notebooks need none of it."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters.update(formats.FILTERS, address=_address)
    return templates
