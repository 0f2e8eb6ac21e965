"""A child module that runs the code it is sent and answers with `result`, or with the error."""

import importlib
from pathlib import Path


def prepare(preload):
    for name in preload:
        importlib.import_module(name)


def warm():
    """Nothing to warm."""


def serve(channel, outbox):
    frame = channel.receive()
    if frame is None:
        return
    names = {
        "channel": channel,
        "folder": Path.cwd(),
        "outbox": Path(outbox),
        "frame": frame,
        **frame.header,
    }
    try:
        exec(frame.body.decode(), names)
        channel.send("outcome", {"result": names.get("result")})
    except BaseException as error:
        channel.send("outcome", {"error": type(error).__name__, "message": str(error)})
