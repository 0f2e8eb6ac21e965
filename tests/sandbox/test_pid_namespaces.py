"""Each child in a PID namespace of its own: whom it sees, what dies with it, what still works."""

import asyncio
import os
import resource
import signal
from contextlib import suppress

import psutil
import pytest
from running import gone, group_members, is_alive, options, run, seen_from_here, send_code

from mecapy_worker.pool.pool import Pool
from mecapy_worker.pool.zygote_process import processes

pytestmark = pytest.mark.asyncio(loop_scope="module")

NAME = f"away-{os.urandom(4).hex()}"
"""Another run of these tests may be on this machine."""

# Out of its parents' sight, session and group, deaf to every signal; says its name, by which it is
# found from outside.
DAEMON = (
    f"""
import ctypes, os, signal
name = {NAME.encode()!r}"""
    + """
r, w = os.pipe()
for n in range(5):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.setpgid(0, 0)
            for number in set(signal.Signals) - {9, 19}: signal.signal(number, signal.SIG_IGN)
            ctypes.CDLL(None).prctl(15, name)
            os.write(w, b'!')
            while True: signal.pause()
        os._exit(0)
    os.wait()
left = 5
while left: left -= len(os.read(r, left))
"""
)


@pytest.fixture(autouse=True)
def allowed(pool):
    if "pid_namespace" not in pool.report.layers:
        pytest.skip(pool.report.missing["pid_namespace"])


async def test_sees_itself_only(pool):
    """/proc shows its own processes by the numbers they have for each other, and /proc/self is
    itself.
    """
    code = """
import os, subprocess
p = subprocess.Popen(['sleep', '100'])
numbers = {int(name) for name in os.listdir('/proc') if name.isdigit()}
result = [numbers == {1, os.getpid(), p.pid}, os.readlink('/proc/self') == str(os.getpid()),
          open(f'/proc/{p.pid}/comm').read()]
"""
    ran = await run(pool, code)
    assert ran.result[:2] == [True, True] and ran.result[2].strip() in (
        "sleep",
        "python",
        "python3",
    )


async def test_its_init_is_out_of_reach(pool):
    """The first process of its namespace, which is no child of its own, lets it see and signal
    nothing.
    """
    code = """
import os
names = ('mem', 'maps', 'environ', 'root/etc/hostname')
attempts = [lambda: os.kill(1, 0),
            *(lambda at=at: open(f'/proc/1/{at}', 'rb').read(1) for at in names)]
result = []
for attempt in attempts:
    try: result.append(repr(attempt()))
    except PermissionError: pass
"""
    assert (await run(pool, code)).result == []


async def test_neighbours_have_no_number(pool):
    """What is a process outside is no process inside: neighbour, zygote, worker."""
    code = """
import os
result = []
for pid in others:
    try: os.kill(pid, 0)
    except ProcessLookupError: result.append(os.path.exists(f'/proc/{pid}'))
"""
    async with pool.child() as neighbour:
        others = [neighbour.pid, pool.zygote_pid, os.getpid()]
        assert (await run(pool, code, others=others)).result == [False] * 3


async def test_a_signal_to_all_reaches_its_own_only(pool):
    """kill(-1) ends what the child has started, and nobody else."""
    code = (
        "import os, subprocess\np = subprocess.Popen(['sleep', '1000'])\nos.kill(-1, "
        "9)\nresult = p.wait()"
    )
    async with pool.child() as neighbour:
        assert (await run(pool, code)).result == -signal.SIGKILL
        assert is_alive(neighbour.pid) and is_alive(pool.zygote_pid)


async def test_daemons_that_really_escaped(tmp_path):
    """Without the filter that pretends, daemons do leave session and group: the kernel ends them
    with their namespace, by `kill` or by the child's own end.
    """
    async with Pool(options(tmp_path, child_module="unfiltered_child")) as pool:
        assert "pid_namespace" in pool.report.layers and "seccomp" in pool.report.missing
        assert (await run(pool, DAEMON)).exit == {"code": 0}
        assert _daemons() == []
        async with pool.child() as child:
            await send_code(child, (DAEMON + "channel.send('progress')\nsignal.pause()").encode())
            async for frame in child.frames():
                if frame.kind == "progress":
                    assert len(_daemons()) == 5 and all(
                        one.pid not in group_members(child.pid) for one in _daemons()
                    )
                    await child.kill()
                    assert _daemons() == []
                    break


def _daemons():
    return [one for one in psutil.process_iter(["name"]) if one.info["name"] == NAME]


async def test_strangers_are_reaped(pool):
    """A process whose parent has ended leaves no zombie: not a hundred of them in a task that
    starts many.
    """
    code = """
import os, time
for n in range(100):
    if os.fork() == 0:
        if os.fork() == 0: os._exit(0)
        os._exit(0)
    os.wait()
while len(left := [name for name in os.listdir('/proc') if name.isdigit()]) > 2: time.sleep(0.01)
result = len(left)
"""
    assert (await run(pool, code)).result == 2


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGTERM, signal.SIGALRM, signal.SIGKILL])
async def test_dies_of_its_own_signals(pool, number):
    """A signal that ends a process ends a child, and is named: it is not its namespace's init,
    which would ignore them.
    """
    assert (
        await run(pool, f"import os, time; os.kill(os.getpid(), {int(number)}); time.sleep(1000)")
    ).exit == {"signal": int(number)}


async def test_a_child_killed_from_outside(pool):
    """Its end is told once nobody of its namespace is left."""
    async with pool.child() as child:
        code = (
            b"import subprocess\np = subprocess.Popen(['sleep', "
            b"'1000'])\nchannel.send('progress', {'pid': p.pid})\np.wait()"
        )
        await send_code(child, code)
        async for frame in child.frames():
            if frame.kind == "progress":
                started = seen_from_here(child.pid, frame.header["pid"])
                os.kill(child.pid, signal.SIGKILL)
        assert frame.header == {"signal": 9} and not is_alive(started)


async def helper_of(zygote: psutil.Process) -> psutil.Process:
    """The child of a zygote that makes namespaces, once it has made one."""
    async with asyncio.timeout(120):
        while True:
            with suppress(psutil.Error):
                for one in zygote.children():
                    if one.children():
                        return one
            await asyncio.sleep(0.01)


async def test_a_birth_that_fails(tmp_path):
    """Where the machine has nothing left for one more child, those that run do so undisturbed, and
    the next is born when it has.
    """
    async with Pool(options(tmp_path)) as pool:
        zygote = psutil.Process(pool.zygote_pid)
        helper = await helper_of(zygote)
        async with pool.child() as child:
            await send_code(
                child,
                b"import os, time\nwhile not os.path.exists('stop'): time.sleep(0.01)\nresult = 42",
            )
            before = resource.prlimit(helper.pid, resource.RLIMIT_NOFILE)
            resource.prlimit(helper.pid, resource.RLIMIT_NOFILE, (0, before[1]))
            tasks = [asyncio.create_task(run(pool, "result = 6 * 7")) for _ in range(3)]
            while pool.failing < 2:  # noqa: ASYNC110  (a pool tells nobody)
                await asyncio.sleep(0.01)
            resource.prlimit(helper.pid, resource.RLIMIT_NOFILE, before)
            assert [(await task).result for task in tasks] == [42] * 3
            (child.folder / "stop").touch()
            assert [
                frame.header async for frame in child.frames() if frame.kind in ("outcome", "exit")
            ] == [{"result": 42}, {"code": 0}]
        assert pool.zygote_pid == zygote.pid and pool.zygote_restarts == 0
        while len(helper.children()) > len(zygote.children()):  # noqa: ASYNC110  (from outside)
            await asyncio.sleep(0.01)


async def test_the_helper_s_end(tmp_path):
    """Every namespace lives by the helper that made it. Without it the zygote ends as well, its
    tasks are lost, and another serves on.
    """
    async with Pool(options(tmp_path)) as pool:
        zygote = psutil.Process(pool.zygote_pid)
        helper = await helper_of(zygote)
        async with pool.child() as child:
            await send_code(child, b"import time; time.sleep(1000)")
            helper.kill()
            *_, last = [frame async for frame in child.frames()]
        assert last.header == {"signal": 9, "lost": True}
        assert (await run(pool, "result = 6 * 7")).result == 42
        session = pool.zygote_pid
    await gone(*[pid for pid, (_, its, _) in processes().items() if its in (session, zygote.pid)])
