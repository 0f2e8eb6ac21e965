"""Where a zygote reaches into the interpreter's memory, by ctypes.

- `immortal`: the count of references at the beginning of an object; CPython 3.12 to 3.14.
- `hugepages`: the pools and blocks of `PyObject_Malloc`, the heap of the C library; CPython 3.11 to
  3.14, glibc.

`tests/worker/test_hooks.py` fails when one of them moves.
"""
