"""Where a child bends a library or Python itself: private names, patches.

- `tqdm_bars`: `tqdm.std.tqdm.display` and `clear`, `tqdm.notebook`, once imported; tqdm 4.
- `comms`: `comm.create_comm`, which is made to be replaced; comm 0.2, ipywidgets 8.
- `sockets`: `socket.socket.__init__`, `connect`, `getaddrinfo`; CPython 3.11 to 3.14.
- `shared_memory`: `mmap.mmap`; CPython 3.11 to 3.14.
- `ipython`: the name of the shell's class, its warning, the length of a frame's file; IPython 9.
- `debuggers`: `pdb.set_trace`, `Pdb.interaction`, `sys.breakpointhook`; CPython 3.11 to 3.14,
  IPython 9.
- `caches`: the fonts that matplotlib has open; the interpreter's cache of types (CPython 3.11).
- `clock_and_chance`: functions of `time`, `random.Random.seed`, `random._urandom`, and the seed of
  `numpy.random`, whose generator is `numpy.random.mtrand._rand`; CPython 3.11 to 3.14, numpy 2.
- `opened_paths`: `os.stat` and its kin; arguments of audit events; CPython 3.11 to 3.14.

`tests/worker/test_hooks.py` fails when one of them moves.
"""
