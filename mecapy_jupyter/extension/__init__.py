"""The Jupyter server's part of MecaPy: what the page may ask of the gateway, and the start of the
embedded stack with the server. Installing enables it (`mecapy_jupyter.json` here goes to
etc/jupyter/jupyter_server_config.d). Only a Jupyter server imports this package.
"""

from __future__ import annotations

from typing import Any


def _load_jupyter_server_extension(server: Any) -> None:  # pyright: ignore[reportUnusedFunction]  (Jupyter calls it by this name)
    from mecapy_jupyter.extension import autostart, routes

    server.web_app.add_handlers(".*$", routes.handlers(server.web_app.settings["base_url"]))
    if autostart.wanted():
        autostart.begin(server.log)
