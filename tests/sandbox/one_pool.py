"""A worker in small: one pool, its report, one task's answer, then `ready` and a task that sleeps
until somebody ends this process.
"""

import asyncio
import json
import os
import sys
from pathlib import Path

from running import options, run, seen_from_here, send_code

from mecapy_worker.pool.pool import Pool
from mecapy_worker.shared import libc

# Landlock has no say in any of these, and the file's owner may do them all.
CHANGE = """
import os, pathlib, shutil
changes = [lambda: os.chmod(file, 0), lambda: os.utime(file, (1, 1)),
           lambda: os.setxattr(file, 'user.mark', b'x'),
           lambda: os.chown(file, os.stat(file).st_uid, os.getgid()),
           lambda: os.chmod(f'/proc/self/root{file}', 0)]
for change in changes:
    try: change()
    except OSError: pass
open('own', 'w')
os.chmod('own', 0o700)
os.utime('own', (1, 1))
shutil.copy2('own', 'copied')
for _ in range(2): pathlib.Path('touched').touch()
os.stat('touched')
result = [os.stat('own').st_mode & 0o777, os.stat('own').st_mtime]
"""


def made(file: Path) -> str:
    file.touch()
    return seen(file)


def seen(file: Path) -> str:
    return f"{file.stat()} {os.listxattr(file)}"


# All of a worker's threads, by every call that takes their number for its process. Signal 0 reaches
# and does no harm.
SIGNAL = """
import ctypes, fcntl, multiprocessing, os, socket, struct, subprocess
libc = ctypes.CDLL(None, use_errno=True)
def call(name, *arguments):
    if getattr(libc, name)(*arguments) < 0: raise OSError(ctypes.get_errno(), name)
tkill, rt_sigqueueinfo = (200, 129) if os.uname().machine == 'x86_64' else (130, 138)
info = ctypes.create_string_buffer(struct.pack('iii', 0, 0, -1), 128)
pipe, pair = os.pipe()[0], socket.socketpair()
attacks = {
    'kill': lambda tid: call('kill', tid, 0), 'os.kill': lambda tid: os.kill(tid, 0),
    'tkill': lambda tid: call('syscall', tkill, tid, 0),
    'rt_sigqueueinfo': lambda tid: call('syscall', rt_sigqueueinfo, tid, 0, info),
    'F_SETOWN': lambda tid: fcntl.fcntl(pipe, 8, tid),
    'F_SETOWN_EX': lambda tid: fcntl.fcntl(pipe, 15, struct.pack('ii', 0, tid)),
    'FIOSETOWN': lambda tid: fcntl.ioctl(pair[0], 0x8901, struct.pack('i', tid)),
    'F_SETSIG': lambda tid: fcntl.fcntl(pipe, 10, 9),
}
result = []
for name, attack in attacks.items():
    for tid in tids:
        try: attack(tid); result.append(name)
        except OSError: pass
p = subprocess.Popen(['sleep', '100'])
p.terminate()
with multiprocessing.Pool(1) as pool: result += pool.map(abs, [p.wait()])
p = subprocess.Popen(['sleep', '100'])
os.kill(p.pid, 0)
os.kill(p.pid, 9)
result += [p.wait()]
"""


async def main(scratch: str, child: str = "tiny_child") -> None:
    async with Pool(options(Path(scratch), processes=40, child_module=child)) as pool:
        answer = (
            await run(
                pool, "import os; result = [os.getuid(), os.listdir('.'), os.environ['HOME']]"
            )
        ).result
        bomb = await run(pool, "import os\nwhile True: os.fork()")
        file = Path(scratch, "mine")
        before = made(file)
        own = (await run(pool, CHANGE, file=str(file))).result
        kept = seen(file) == before
        reached = (await run(pool, SIGNAL, tids=libc.threads())).result
        async with pool.child() as child:
            await send_code(
                child,
                b"import subprocess\np = subprocess.Popen(['sleep', "
                b"'1000'])\nchannel.send('progress', {'pid': p.pid})\np.wait()",
            )
            async for frame in child.frames():
                if frame.kind == "progress":
                    pids = [
                        pool.zygote_pid,
                        child.pid,
                        seen_from_here(child.pid, frame.header["pid"]),
                    ]
                    told = {
                        "report": pool.report.as_json(),
                        "answer": answer,
                        "uid": os.getuid(),
                        "pids": pids,
                        "bomb": bomb.exit,
                    }
                    told |= {"kept": kept, "own": own, "reached": reached}
                    print(json.dumps(told), flush=True)
                    if sys.stdin.readline():
                        return


asyncio.run(main(*sys.argv[1:]))
