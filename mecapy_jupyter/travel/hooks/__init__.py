"""Changes to Python or a library for pickling, in kernel and child.

- `pickles`: the unpickler in Python, and functions of cloudpickle; cloudpickle 3.1.
- `abstract_classes`: classes registered with one; CPython 3.11 to 3.14.
- `import_frames`: frames that an import leaves out of tracebacks; CPython 3.11 to 3.14.
- `references`: objects that something else refers to, by their counts; CPython 3.11 to 3.14.

Two more hooks are elsewhere: `environment.import_hook` (import callbacks) and `files.placeholders`
(audit events). `tests/values/test_hooks.py` fails when one of them changes.
"""
