"""Progress of a cell: its own bars, unchanged, are one live bar, and leave the text they leave at
home.
"""

from __future__ import annotations

import pickle
import re
from typing import Any

import pytest

from mecapy_backend.store.log import events as log
from mecapy_jupyter import wire
from mecapy_jupyter.travel import loop_progress
from mecapy_worker.run.consumer import Consumer

from . import conftest
from .conftest import Desk, text_of

FLAVOURS = {
    "tqdm": "from tqdm import tqdm as bar",
    "std": "import tqdm.std; bar = tqdm.std.tqdm",
    "auto": "from tqdm.auto import tqdm as bar",
    "notebook": "from tqdm.notebook import tqdm as bar",
    "autonotebook": "from tqdm.autonotebook import tqdm as bar",
    "trange": "from tqdm import trange; bar = lambda items, **more: trange(len(items), **more)",
}


def said(seen: list[wire.Event]) -> list[dict[str, Any]]:
    return [event.data for event in seen if event.type == wire.PROGRESS]


async def events(desk: Desk, code: str) -> list[wire.Event]:
    return await desk.until(await desk.submit(code), *wire.FINAL)


def moved(seen: list[wire.Event]) -> list[float]:
    """Where the widget of a bar was."""
    bars = {
        event.data["comm_id"]
        for event in seen
        if event.type == wire.COMM
        and event.data["data"].get("state", {}).get("_model_name") == "FloatProgressModel"
    }
    return [
        event.data["data"]["state"]["value"]
        for event in seen
        if event.type == wire.COMM
        and event.data["comm_id"] in bars
        and "value" in event.data["data"].get("state", {})
    ]


def printed(seen: list[wire.Event]) -> str:
    return text_of(seen) + text_of(seen, wire.STDERR)


async def test_every_flavour_is_one_bar(desk: Desk, worker: Consumer) -> None:
    """Its way is told as fractions, then that it is over; of its text only the last line is there,
    however often it was drawn. What draws a widget at home draws one here, and prints nothing.
    """
    for name, how in FLAVOURS.items():
        seen = await events(
            desk, f"{how}\nimport time\nfor n in bar([0] * 8, desc='beams'):\n    time.sleep(0.12)"
        )
        assert seen[-1].type == wire.COMPLETED, (name, seen[-1].data)
        told = said(seen)
        fractions = [one["fraction"] for one in told if one["fraction"] is not None]
        assert fractions == sorted(fractions) and len(fractions) > 1, name
        assert told[1]["text"].startswith("beams ") and told[-1] == {
            "fraction": None,
            "text": "",
        }, name
        if name in ("auto", "notebook", "autonotebook"):
            assert moved(seen)[-1] == 8.0 and not text_of(seen), name
            continue
        assert re.fullmatch(
            r"beams: 100%\|█+\| 8/8 \[\d\d:\d\d<\d\d:\d\d, +[\d.]+(it/s|s/it)\]\n",
            text_of(seen, wire.STDERR),
        ), name


CASES = {
    "nested": (
        "for a in tqdm(range(3), desc='outer'):\n for b in tqdm(range(4), desc='inner', "
        "leave=False): sleep(0.03)",
        r"outer: 100%\|█+\| 3/3 \[.*\]\n",
    ),
    "total unknown": ("for a in tqdm(iter(range(7))): sleep(0.03)", r"7it \[.*\]\n"),
    "closed early": (
        "for a in tqdm(range(9)):\n sleep(0.03)\n if a == 3: break",
        r" 33%\|█+.* *\| 3/9 \[.*\]\n",
    ),
    "by hand": ("bar = tqdm(total=9)\nbar.update(3)\nbar.close()", r" 33%\|█+.* *\| 3/9 \[.*\]\n"),
    "left open": (
        "bar = tqdm(total=9)\nbar.update(3); bar.refresh()",
        r" 33%\|█+.* *\| 3/9 \[.*\]\n",
    ),
    "left nothing": ("for a in tqdm(range(9), leave=False): pass", ""),
    "write": (
        "for a in tqdm(range(2)): tqdm.write(f'at {a}'); sleep(0.2)",
        r"at 0\nat 1\n100%\|█+\| 2/2 \[.*\]\n",
    ),
    "to a file": (
        "import io; f = io.StringIO()\nfor a in tqdm(range(2), file=f): "
        "pass\nprint(f.getvalue().count('2/2'))",
        "1\n",
    ),
    "on stdout": (
        "import sys\nfor a in tqdm(range(2), file=sys.stdout): pass",
        r"\r  0%\|.*\| 0/2 .*\r100%\|█+\| 2/2 \[.*\]\n",
    ),
    "disabled": ("for a in tqdm(range(2), disable=True): pass", ""),
    "in bytes": (
        "b = tqdm(total=4e6, unit='B', unit_scale=True)\nb.update(4_000_000)\nb.close()",
        r"100%\|█+\| 4\.00M/4\.00M \[.*B/s\]\n",
    ),
}


async def test_what_stays_is_what_stays_at_home(desk: Desk, worker: Consumer) -> None:
    """Nested, endless, broken off, left open:
    the text at the end is the one a notebook would show.
    """
    for name, (code, text) in CASES.items():
        seen = await events(desk, f"from tqdm import tqdm\nfrom time import sleep\n{code}")
        assert seen[-1].type == wire.COMPLETED, (name, seen[-1].data)
        assert re.fullmatch(text, printed(seen)), (name, printed(seen))


async def test_a_failing_loop_keeps_its_bar(desk: Desk, worker: Consumer) -> None:
    """At which step it failed stands in the text, before the error."""
    seen = await events(desk, "from tqdm import tqdm\nfor a in tqdm(range(4)):\n    1 / (a - 2)")
    assert seen[-1].type == wire.FAILED
    assert re.fullmatch(r" 50%\|█+ +\| 2/4 \[.*\]\n", printed(seen))


async def test_nested_bars_make_one_that_never_goes_back(desk: Desk, worker: Consumer) -> None:
    """The inner loop moves the outer bar on between its steps."""
    code = (
        "from mecapy_jupyter import track\nimport time\nfor a in track(range(2), 'a'):\n  for "
        "b in track(range(10), 'b'): time.sleep(0.05)"
    )
    told = said(await events(desk, code))
    fractions = [one["fraction"] for one in told if one["fraction"] is not None]
    assert fractions == sorted(fractions)
    assert any(0.05 < one < 0.45 for one in fractions) and any(
        0.55 < one < 0.95 for one in fractions
    )
    assert any(re.match(r"a 0/2 · b \d+/10", one["text"]) for one in told)


async def test_the_source_sends_few_and_the_last(desk: Desk, worker: Consumer) -> None:
    """A hundred thousand words in no time are a few events, and the last of them arrives while the
    cell still runs.
    """
    code = (
        "from mecapy_jupyter import progress\nimport time\n"
        "began = time.monotonic()\n"
        "for n in range(100_001): progress(n / 100_000, f'step {n}')\n"
        "print(time.monotonic() - began)\ntime.sleep(600)"
    )
    task_id = await desk.submit(code)
    seen = await desk.until(task_id, wire.PROGRESS, text="step 100000")
    assert seen[-1].data == {"fraction": 1.0, "text": "step 100000"}
    while not (took := text_of(seen)).endswith("\n"):
        seen += await log.read(desk.queue, task_id, seen[-1].id, block_ms=1000)
    told = [event for event in seen if event.type == wire.PROGRESS]
    assert len(told) <= 2 + float(took) / loop_progress.EVERY_S
    await desk.queue.announce_cancel(task_id)
    await desk.outcome(task_id)


async def test_odd_fractions_do_no_harm(desk: Desk, worker: Consumer) -> None:
    """Whatever a cell calls a fraction, what travels is none or lies between 0 and 1."""
    for odd in (
        "float('nan'), 'x'",
        "-3, 'x'",
        "7, 'x' * 10**6",
        "None, 'x'",
        "__import__('numpy').float32(0.5), 'x'",
    ):
        seen = await events(desk, f"from mecapy_jupyter import progress\nprogress({odd})")
        assert seen[-1].type == wire.COMPLETED, odd
        [told] = said(seen)
        assert told["fraction"] is None or 0 <= told["fraction"] <= 1, odd
        assert len(told["text"]) <= 200


async def test_tqdm_stays_the_users(
    desk: Desk, worker: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cell that does not import it has it not in memory, unless the same owner's cells did."""
    monkeypatch.setattr(conftest, "OWNER", "newcomer")
    assert (
        await desk.run("import sys\n[name for name in sys.modules if name.startswith('tqdm')]")
    ).result == []


async def test_a_bar_that_a_variable_holds_comes_home(desk: Desk, worker: Consumer) -> None:
    """A bar the cell has bound has its numbers at home, and draws nothing there."""
    code = (
        "from tqdm.auto import tqdm\nimport pickle\nbar = tqdm(total=9, "
        "desc='x')\nbar.update(4)\nbar.close()\npickle.dumps(bar).hex()"
    )
    bar = pickle.loads(bytes.fromhex((await desk.run(code)).result))  # noqa: S301
    assert (bar.n, bar.total, bar.disable) == (4, 9, True)
