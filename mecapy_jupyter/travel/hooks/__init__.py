"""Where pickling and its like bend Python or a library, in kernel and child.

- `pickles`: the unpickler written in Python, and cloudpickle's own functions; cloudpickle 3.1.
- `abstract_classes`: who was registered with one; CPython 3.11 to 3.14.
- `import_frames`: which frames an import leaves out of tracebacks; CPython 3.11 to 3.14.
- `references`: which objects something still holds, by their counts; CPython 3.11 to 3.14.

What bends Python in one piece of its own stands there: `environment.import_hook` (imports that
others wait for) and `files.placeholders` (audit events). `tests/values/test_hooks.py` fails when
one of them moves.
"""
