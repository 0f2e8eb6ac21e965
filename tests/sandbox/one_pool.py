"""A worker in small: one pool, its report, one task's answer, then `ready` and a task that sleeps until somebody ends this process."""

import asyncio
import json
import os
import sys
from pathlib import Path

from running import options, run, seen_from_here

from mecapy_worker.pool import Pool


async def main(scratch: str) -> None:
    async with Pool(options(Path(scratch), processes=40)) as pool:
        answer = (await run(pool, "import os; result = [os.getuid(), os.listdir('.'), os.environ['HOME']]")).result
        bomb = await run(pool, "import os\nwhile True: os.fork()")
        async with pool.child() as child:
            await child.send(
                "task",
                body=b"import subprocess\np = subprocess.Popen(['sleep', '1000'])\nchannel.send('progress', {'pid': p.pid})\np.wait()",
            )
            async for frame in child.frames():
                if frame.kind == "progress":
                    pids = [pool.zygote_pid, child.pid, seen_from_here(child.pid, frame.header["pid"])]
                    told = {"report": pool.report.as_json(), "answer": answer, "uid": os.getuid(), "pids": pids, "bomb": bomb.exit}
                    print(json.dumps(told), flush=True)
                    if sys.stdin.readline():
                        return


asyncio.run(main(sys.argv[1]))
