"""A child module that runs the code it is sent and answers with `result`, or with the error."""

import importlib
from pathlib import Path

from mecapy_worker.shared.frames import Frame


class FrameSender:
    """A channel that sends frames of any kind, as no honest child does."""

    def __init__(self, channel):
        self.channel, self.sock = channel, channel.sock

    def send(self, kind, header=None, body=b"", fds=()):
        self.channel.send_frame(Frame(kind, header or {}, body, tuple(fds)))


def prepare(preload):
    for name in preload:
        importlib.import_module(name)


warmed = False


def begin(*, warm):
    global warmed
    warmed = warm


def serve(channel, outbox):
    frame = channel.receive()
    if frame is None:
        return
    names = {
        "channel": FrameSender(channel),
        "folder": Path.cwd(),
        "outbox": Path(outbox),
        "frame": frame,
        "warmed": warmed,
        **frame.header,
    }
    try:
        exec(frame.body.decode(), names)
        FrameSender(channel).send("outcome", {"result": names.get("result")})
    except BaseException as error:
        FrameSender(channel).send("outcome", {"error": type(error).__name__, "message": str(error)})
