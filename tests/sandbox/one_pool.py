"""A worker in small: one pool, its report, one task's answer, then `ready` and a task that sleeps until somebody ends this process."""

import asyncio
import json
import os
import sys
from pathlib import Path

from running import options, run, seen_from_here

from mecapy_worker.pool import Pool

# Landlock has no say in any of these, and the file's owner may do them all.
CHANGE = """
import os, pathlib, shutil
changes = [lambda: os.chmod(file, 0), lambda: os.utime(file, (1, 1)), lambda: os.setxattr(file, 'user.mark', b'x'),
           lambda: os.chown(file, os.stat(file).st_uid, os.getgid()), lambda: os.chmod(f'/proc/self/root{file}', 0)]
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


async def main(scratch: str) -> None:
    async with Pool(options(Path(scratch), processes=40)) as pool:
        answer = (await run(pool, "import os; result = [os.getuid(), os.listdir('.'), os.environ['HOME']]")).result
        bomb = await run(pool, "import os\nwhile True: os.fork()")
        file = Path(scratch, "mine")
        before = made(file)
        own = (await run(pool, CHANGE, file=str(file))).result
        kept = seen(file) == before
        async with pool.child() as child:
            await child.send(
                "task",
                body=b"import subprocess\np = subprocess.Popen(['sleep', '1000'])\nchannel.send('progress', {'pid': p.pid})\np.wait()",
            )
            async for frame in child.frames():
                if frame.kind == "progress":
                    pids = [pool.zygote_pid, child.pid, seen_from_here(child.pid, frame.header["pid"])]
                    told = {"report": pool.report.as_json(), "answer": answer, "uid": os.getuid(), "pids": pids, "bomb": bomb.exit}
                    told |= {"kept": kept, "own": own}
                    print(json.dumps(told), flush=True)
                    if sys.stdin.readline():
                        return


asyncio.run(main(sys.argv[1]))
