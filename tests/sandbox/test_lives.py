"""How children end, what of them arrives, and that the pool outlives whatever happens to its
zygote.
"""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from running import Ran, gone, is_alive, options, run, seen_from_here, send_code, serves

from mecapy_worker.pool import zygote_client
from mecapy_worker.pool.pool import Pool, TooWeak
from mecapy_worker.shared.messages import ExitStatus

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("code", "ending"),
    [
        ("result = 1", {"code": 0}),
        ("import os; os._exit(3)", {"code": 3}),
        ("import ctypes; ctypes.string_at(0)", {"signal": signal.SIGSEGV}),
        ("import os; os.abort()", {"signal": signal.SIGABRT}),
        ("import os; os.kill(0, 9)", {"signal": signal.SIGKILL}),
    ],
)
async def test_exit_is_reported(pool, code, ending):
    """How the child ended is the last thing said, and the next task is served."""
    assert (await run(pool, code)).exit == ending
    assert await serves(pool)


async def test_no_warm_up_for_who_waits(tmp_path):
    """A child that waits for a task is warm; one that a task waits for skips the warm-up."""
    warmed = []
    async with Pool(options(tmp_path, sandbox="strict")) as pool:
        while not pool.spare:  # noqa: ASYNC110  (a pool tells nobody)
            await asyncio.sleep(0.01)
        async with pool.child() as spare, pool.child() as awaited:
            for child in (spare, awaited):
                await send_code(child, b"result = warmed")
                warmed.append(Ran([frame async for frame in child.frames()]).result)
    assert warmed == [True, False]


async def test_output_of_native_code_and_subprocesses(pool):
    """What C code and subprocesses write to the descriptors arrives, cut characters put together
    again.
    """
    code = """
import ctypes, os, subprocess, time
c = ctypes.CDLL(None)
c.puts(b'from C'); c.fflush(None)
subprocess.run(['/bin/echo', 'from a subprocess'])
os.write(2, 'é'.encode()[:1]); time.sleep(0.05); os.write(2, 'é'.encode()[1:])
"""
    ran = await run(pool, code)
    assert ran.text("stdout") == "from C\nfrom a subprocess\n"
    assert ran.text("stderr") == "é"


async def test_last_words_arrive(pool):
    """All that was written before a sudden end arrives before the exit."""
    ran = await run(
        pool,
        "import os; os.write(1, b'x' * 60000); channel.send('progress', {'fraction': 1}); "
        "os.abort()",
    )
    assert len(ran.text("stdout")) == 60000
    assert ran.headers("progress") == [{"fraction": 1}]


async def test_interrupt(pool):
    """An interrupt is a KeyboardInterrupt in the child."""
    async with pool.child() as child:
        await send_code(child, b"import time\nchannel.send('progress')\ntime.sleep(1000)")
        ran = Ran()
        async for frame in child.frames():
            ran.frames.append(frame)
            if frame.kind == "progress":
                await child.interrupt()
    assert ran.error == "KeyboardInterrupt"


async def test_kill_leaves_nothing(pool):
    """When `kill` returns, the child and what it started are dead."""
    async with pool.child() as child:
        await send_code(
            child,
            b"import subprocess, time\np = subprocess.Popen(['sleep', "
            b"'1000'])\nchannel.send('progress', {'pid': p.pid})\ntime.sleep(1000)",
        )
        async for frame in child.frames():
            if frame.kind == "progress":
                started = seen_from_here(child.pid, frame.header["pid"])
                assert await child.kill() == ExitStatus(signal=9)
                assert not is_alive(started) and not is_alive(child.pid)
                break


async def test_files_travel_with_the_task(pool, tmp_path):
    """A file the child could not open itself can be handed to it, open."""
    (tmp_path / "input").write_text("inside")
    with (tmp_path / "input").open() as file:
        async with pool.child() as child:
            await send_code(
                child,
                b"import os; result = os.read(frame.fds[0], 100).decode()",
                fds=(file.fileno(),),
            )
            ran = Ran([frame async for frame in child.frames()])
    assert ran.result == "inside"


async def test_garbage_ends_only_its_child(pool):
    """A child that sends no frames but garbage is ended, and named for it."""
    for garbage in (
        "b'x' * 1000",
        "bytes([255] * 11)",
        "b'\\1\\0\\0\\0\\0\\0\\2\\0\\0\\0\\0a[]'",
        "b'\\0\\0\\0\\0\\0\\0\\2\\0\\0\\0\\0{}'",
    ):
        ran = await run(pool, f"import time; channel.sock.sendall({garbage}); time.sleep(1000)")
        assert [frame.kind for frame in ran.frames if frame.kind != "usage"] == ["invalid", "exit"]
        assert await serves(pool)


async def test_usage_is_reported(pool):
    """A child that computes reports processor time and its own memory, not the zygote's."""
    async with pool.child() as child:
        await send_code(child, b"b = bytearray(64 << 20)\nwhile True: pass")
        found: list[dict[str, float]] = []
        async for frame in child.frames():
            if frame.kind != "usage" or frame.header["memory_bytes"] < 64 << 20:
                continue  # it is being filled
            if (frame.header.get("cpu_percent") or 0) > 0:
                found.append(frame.header)
                break
    assert found[0]["memory_bytes"] < 96 << 20
    assert found[0]["processes"] == 1


async def test_random_numbers_differ(pool):
    """No two children draw the same random numbers."""
    code = "import random; result = random.random()"
    assert (await run(pool, code)).result != (await run(pool, code)).result


async def test_zygote_killed(tmp_path):
    """When the zygote dies, its children and their daemons die, their exit says they were lost, and
    a new zygote serves on.
    """
    async with Pool(options(tmp_path)) as pool:
        old = pool.zygote_pid
        async with pool.child() as child:
            await send_code(
                child,
                b"import subprocess, time\np = subprocess.Popen(['sleep', "
                b"'1000'])\nchannel.send('progress', {'pid': p.pid})\ntime.sleep(1000)",
            )
            ran = Ran()
            async for frame in child.frames():
                ran.frames.append(frame)
                if frame.kind == "progress":
                    started = seen_from_here(child.pid, frame.header["pid"])
                    os.kill(old, signal.SIGKILL)
        assert ran.exit == {"signal": 9, "lost": True}
        await gone(child.pid, started)
        assert await serves(pool)
        assert pool.zygote_pid != old


@pytest.mark.parametrize("asked", ["kill", "fork"])
async def test_zygote_stopped(tmp_path, monkeypatch, asked):
    """A zygote that does not answer is ended: who asked it for an end, or for a child, gets an
    answer, and another zygote serves on.
    """
    async with Pool(options(tmp_path)) as pool:
        old = pool.zygote_pid
        if asked == "kill":
            async with pool.child() as child:
                await send_code(child, b"import time; time.sleep(1000)")
                os.kill(old, signal.SIGSTOP)
                with monkeypatch.context() as patched:
                    patched.setattr(zygote_client, "_ANSWER_WITHIN_S", 1.0)
                    assert await child.kill() == ExitStatus(signal=9, lost=True)
        else:
            os.kill(old, signal.SIGSTOP)
            with monkeypatch.context() as patched, pytest.raises(zygote_client.ZygoteFailed):
                patched.setattr(zygote_client, "_ANSWER_WITHIN_S", 1.0)
                await pool._factory.start_child("tiny_child")
        assert await serves(pool)
        assert pool.zygote_pid != old
        await gone(old)


async def test_nothing_is_left(tmp_path):
    """A closed pool leaves no process and no folder, running children or not."""
    async with Pool(options(tmp_path)) as pool, pool.child() as child:
        await send_code(child, b"import time; channel.send('progress'); time.sleep(1000)")
        await anext(child.frames())
        pids = [pool.zygote_pid, child.pid]
    assert not any(map(is_alive, pids))
    assert [path.name for path in tmp_path.iterdir()] == ["shared"]


async def test_a_child_that_is_given_back_while_the_pool_ends_is_closed(tmp_path):
    """Also if who lent it is cancelled."""
    lent, begun, ends = [], asyncio.Event(), asyncio.Event()

    async def lend(pool):
        async with pool.child() as child:
            lent.append(child)
            begun.set()
            await ends.wait()

    async with Pool(options(tmp_path)) as pool:
        lending = asyncio.create_task(lend(pool))
        await begun.wait()
        ends.set()
        await asyncio.sleep(0)
        assert not pool.busy
        lending.cancel()
    assert lent[0]._channel.sock.fileno() == -1


async def test_many_at_once(pool):
    """More tasks than spares at once are all served."""
    answers = await asyncio.gather(*(run(pool, f"result = {n}") for n in range(6)))
    assert [ran.result for ran in answers] == list(range(6))


async def test_strict_refuses_best_effort_reports(tmp_path):
    """Without a layer that is needed `strict` does not start; `best-effort` does, and says what is
    missing and what gets through.
    """
    with pytest.raises(TooWeak, match="landlock"):
        async with Pool(options(tmp_path, child_module="weak_child", sandbox="strict")):
            pass
    async with Pool(options(tmp_path, child_module="weak_child")) as pool:
        assert "landlock" in pool.report.missing
        assert "read_outside" in pool.report.through
        assert pool.report.level == "partial"
        assert await serves(pool)


async def test_large_frames_wait_in_the_child(pool):
    """Who reads slowly has a few of them in its memory, not as many as may wait when they are
    small; none is lost.
    """
    code = (
        b"pad = 'x' * 10_000_000\n"
        b"for n in range(12):\n    channel.send('display', {'n': n, 'pad': pad})\n    (folder / "
        b"'now').write_text(str(n)); (folder / 'now').rename(folder / 'sent')\n"
    )
    async with pool.child() as child:
        await send_code(child, code)
        seen = []
        async for frame in child.frames():
            if not seen:
                await asyncio.sleep(3)
                assert all(int(path.read_text()) < 6 for path in child.folder.glob("sent"))
            seen.append(frame)
    assert [frame.header["n"] for frame in seen if frame.kind == "display"] == list(range(12))


async def test_a_renewed_pool_waits_for_its_children(tmp_path):
    """Another zygote starts once no child is lent; who works meanwhile ends as it would have."""
    async with Pool(options(tmp_path)) as pool:
        before = pool.zygote_pid
        async with pool.child() as child:
            renewing = asyncio.create_task(pool.renew())
            await send_code(child, b"result = 1")
            frames = [frame async for frame in child.frames()]
            assert Ran(frames).result == 1
            assert not renewing.done() and pool.zygote_pid == before
        await renewing
        assert await serves(pool)
        assert pool.zygote_pid != before


async def test_a_zygote_that_cannot_start_says_why_first(tmp_path):
    """A terminal shows the beginning of it."""
    with pytest.raises(zygote_client.ZygoteFailed) as failed:
        async with Pool(options(tmp_path, child_module="no_such_child")):
            pass
    assert str(failed.value).startswith(
        "the zygote did not start: ModuleNotFoundError: No module named 'no_such_child'\nTraceback"
    )
