"""A child module that runs the code it is sent and answers with `result`, or with the error."""

import importlib


def prepare(preload):
    for name in preload:
        importlib.import_module(name)


def warm(folder):
    """Nothing to warm."""


def serve(channel, folder, outbox):
    frame = channel.receive()
    if frame is None:
        return
    names = {"channel": channel, "folder": folder, "outbox": outbox, "frame": frame, **frame.header}
    try:
        exec(frame.body.decode(), names)
        channel.send("outcome", {"result": names.get("result")})
    except BaseException as error:
        channel.send("outcome", {"error": type(error).__name__, "message": str(error)})
