"""The Jupyter server's side of MecaPy: what the page may ask of the gateway, and the embedded stack
started with the server.

Enabled by installing (`mecapy_jupyter.json` here goes to etc/jupyter/jupyter_server_config.d). Only
a Jupyter server imports this package: the client needs none.
"""

from __future__ import annotations

from typing import Any


def _load_jupyter_server_extension(server: Any) -> None:  # pyright: ignore[reportUnusedFunction]  (Jupyter calls it by this name)
    from mecapy_jupyter.extension import autostart, routes

    server.web_app.add_handlers(".*$", routes.handlers(server.web_app.settings["base_url"]))
    if autostart.wanted():
        autostart.begin(server.log)
