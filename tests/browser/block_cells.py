"""The cells of the live block's notebook: synthetic events, shown as a running cell shows them."""

from __future__ import annotations

EVIL = "<img src=x onerror=window.broken=1>"

PLAY = '''
import os
import threading
from mecapy_jupyter import wire
from mecapy_jupyter.block.live import LiveBlock
from mecapy_jupyter.errors import TaskCancelled

def event(type, **data):
    return wire.Event("", type, data)

def play(events, outcome, came_back=(), *, name="beam", hold=0.0, after_s=0.5, expected_s=None,
         tick=threading.Event()):
    """What a cell does with a block: (seconds, or the name of a file to wait for; event or text to
    print) one after another, waiting as the real one waits.
    """
    block = LiveBlock(name, after_s=after_s, expected_s=expected_s)
    block.sent(1_200_000, 420_000_000, "1a2b3c4d-0000-4000-8000-000000000000")
    with block:
        try:
            follow(block, events, hold, tick)
        except KeyboardInterrupt:
            block.finish(wire.Outcome("cancelled", stopped_s=0.3), list(came_back))
            raise TaskCancelled("the task was cancelled and stopped after 0.3 s") from None
        block.finish(outcome, list(came_back))

def follow(block, events, hold, tick):
    for until, what in [*events, (hold, None)]:
        left = 10**6 if isinstance(until, str) else round(until / 0.1)
        while left and not (isinstance(until, str) and os.path.exists(until)):
            tick.wait(0.1)
            block.tick()
            left -= 1
        if isinstance(what, str):
            block.event(event("stdout", text=what))
            print(what)
        elif what is not None:
            block.event(what)

RUNNING = [
    (0.0, event("queued", position=3, of=7, eta_s=25)),
    (2.0, event("started", worker="w2", attempt=1, memory_limit_bytes=8e9)),
    *((0.0, event("usage", cpu_percent=780.0, memory_bytes=used * 1e9))
      for used in (0.4, 1.9, 2.2, 3.8, 4.1, 5.1)),
]
BAR = event("progress", fraction=0.62, text="loads 31/50 · 1 min left")
DONE = wire.Outcome("completed", seconds=218.0)
'''


CLEARING = """
from IPython.display import clear_output
block = LiveBlock("frames", after_s=0.0)
block.event(event("started", worker="w2"))
for frame in range(5):
    block.event(event("display", kind="clear_output", wait=True))
    clear_output(wait=True)
    block.event(event("stdout", text=f"frame {frame}"))
    print("frame", frame)
    for _ in range(3):
        threading.Event().wait(0.1)
        block.tick()
block.finish(DONE, [])
"""

HOSTILE = f"""
evil = {EVIL!r}
error = wire.ErrorInfo("cell", evil, evil, 7)
events = [(0.0, event("started", worker=evil)), (0.6, event("progress", fraction=0.25, text=evil))]
play(events, wire.Outcome("failed", error=error), [evil], name=evil, hold="hostile read")
"""

LOCAL = """
import time
from mecapy_jupyter import track
for load in track(range(4), "loads"):
    time.sleep(0.7)
    while load == 2 and not os.path.exists("two seen"):
        time.sleep(0.1)
"""

CELLS = {
    "play": PLAY,
    "short": "play([(0.0, event('started', worker='w1')), (0.3, 'forty-two')], DONE, after_s=600)",
    "whole": "play([RUNNING[0], ('queued seen', RUNNING[1][1]), *RUNNING[2:]], DONE, "
    "['T (12 MB)', 'residuals changed'], hold='clock seen')",
    "endless": "play(RUNNING, DONE, hold=600)",
    "left": "play(RUNNING, DONE, hold=600)",
    "left alone": "play(RUNNING, DONE, hold=600)",
    "bar": "play([*RUNNING, (0, BAR), ('bar seen', event('progress', text='31 loads'))], DONE, "
    "hold='loads seen')",
    "local": LOCAL,
    "hostile": HOSTILE,
    "clearing": CLEARING,
    "narrow": "play(RUNNING, DONE, hold='narrow seen')",
    "still": "play([(0, RUNNING[1][1]), (0, event('progress', text='31 loads'))], DONE, "
    "hold='still seen')",
}
NUMBER = {name: number for number, name in enumerate(CELLS)}
