"""The child's half of a trip, as a program: open the inputs on stdin, run the code, write the
result to stdout. No worker around it.
"""

import pickle
import sys
import types

from mecapy_jupyter.travel.changes.in_place import Watch
from mecapy_jupyter.travel.environment import prelude
from mecapy_jupyter.travel.pickling import payload

main = types.ModuleType("__main__")
sys.modules["__main__"] = main
code, stream, buffers = pickle.load(sys.stdin.buffer)  # noqa: S301 sent by the test
out, sys.stdout = sys.stdout, sys.stderr
opened = payload.unpack(stream, buffers, main.__dict__, on_prelude=prelude.install)
inputs = opened.values[0]
main.__dict__.update(inputs)
watch, before = Watch(opened.memo, inputs.values(), main.__dict__), dict(main.__dict__)
exec(compile(code, "<cell>", "exec"), main.__dict__)
bound = {
    k: v
    for k, v in main.__dict__.items()
    if not k.startswith("__") and (k not in before or v is not before[k])
}
deleted = [k for k in before if k not in main.__dict__]
home = {
    "bound": bound,
    "deleted": deleted,
    "left": {},
    "ambient": {},
    "files": {},
    "changed": watch.changed(),
}
whole = [content for kind, content in home["changed"].values() if kind == "array"]
packed, _ = payload.pack_result(home, main.__dict__, watch.objects, bound.values(), whole)
out.buffer.write(
    pickle.dumps((packed.stream, [bytes(b) for b in packed.buffers], packed.size_bytes))
)
