"""`mecapy open`: the gateway's page in the browser, logged in."""

from __future__ import annotations

import argparse
import webbrowser

from mecapy_jupyter.commands.arguments import AddCommand


def add_commands(add: AddCommand) -> None:
    command = add("open", _run, "open the gateway's page in the browser, logged in")
    command.add_argument(
        "--print", action="store_true", dest="only_print", help="print its address instead"
    )


def _run(options: argparse.Namespace) -> None:
    from mecapy_jupyter.client import config, gateway_api
    from mecapy_jupyter.client.http import Gateway

    endpoint = config.resolve(start=False)
    # The address of a browser is no secret on a shared machine, so it has no token.
    link = gateway_api.login_link(Gateway.of(endpoint))
    url = endpoint.url.rstrip("/") + link.path
    if options.only_print or not webbrowser.open(url):
        print(url)
    else:
        print(f"opened {endpoint.url} in your browser")
