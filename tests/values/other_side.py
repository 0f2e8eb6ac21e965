"""The child's half of a trip, as a program: for each request on stdin, open the inputs, run the
code, and write the result to stdout. No worker around it. Each request has a process of its own,
forked from this one, which has imported what cells need.
"""

import os
import pickle
import sys
import traceback
import types
from typing import Any

import numpy  # noqa: F401 so that no request waits for them
import pandas  # noqa: F401

from mecapy_jupyter.travel.changes.watch import Watch
from mecapy_jupyter.travel.environment import module_importer, prelude
from mecapy_jupyter.travel.pickling import payload


def carried(code: str, stream: bytes, buffers: list[bytearray]) -> tuple[bytes, list[bytes], int]:
    main = types.ModuleType("__main__")
    sys.modules["__main__"] = main
    opened = payload.unpack(stream, buffers, main.__dict__, on_prelude=prelude.install)
    inputs = opened.variables
    main.__dict__.update(inputs)
    module_importer.served.take(opened.states, opened.lost)
    watch, before = Watch(opened.memo, inputs.values(), main.__dict__), dict(main.__dict__)
    del opened, inputs
    exec(compile(code, "<cell>", "exec"), main.__dict__)
    bound = {
        k: v
        for k, v in main.__dict__.items()
        if not k.startswith("__") and (k not in before or v is not before[k])
    }
    home: dict[str, Any] = {
        "bound": bound,
        "deleted": [k for k in before if k not in main.__dict__],
        "ambient": {"own modules": module_importer.changed()},
        "left": module_importer.served.left,
        "imported": module_importer.imported_anew(),
        "files": {},
        "changed": watch.changed(),
    }
    whole = [array for one in home["changed"] if one.kind == "array" for array in one.parts]
    arrays = [*watch.arrays(), *bound.values()]
    packed, _ = payload.pack_result(
        home,
        main.__dict__,
        watch.known(),
        arrays,
        whole,
        [home["imported"], home["changed"]],
    )
    return packed.stream, [bytes(b) for b in packed.buffers], packed.size_bytes


if __name__ == "__main__":
    out = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    while True:
        try:
            request = pickle.load(sys.stdin.buffer)  # noqa: S301 sent by the test
        except EOFError:
            break
        if os.fork() == 0:
            try:
                answer = pickle.dumps(carried(*request))
            except BaseException:
                answer = pickle.dumps(traceback.format_exc())
            with open(out.fileno(), "wb", closefd=False) as whole:
                whole.write(answer)
            os._exit(0)
        os.wait()
